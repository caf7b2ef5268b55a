"""What a stranger's schema or grammar comes to, found out in a process of its own with little time and memory.

`python -m seedstock.run.engines.grammar_check` reads one JSON `Asked` from stdin and writes one JSON `Verdict` to stdout.
One that never comes to an end, or takes all memory, ends that process and nothing else.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from typing import Any

import msgspec

from seedstock.core.errors import Invalid, Unavailable

MAX_LENGTH = 64 << 10
MAX_LEXER_STATES = 20_000
"""Of up to 2 kB each, in the engine's memory; llguidance's own limit is 250,000."""
CPU_S = 10
"""Of processor time, so that a busy machine changes nothing. A schema of 57 kB with 2000 properties takes one."""
_WALL_S = 120
_MEMORY_BYTES = 2 << 30
# A space, or a line break and what indents the next line: as llama.cpp lets a model write. Else it may go on for ever.
_WHITESPACE = r"( |\n[ \t]{0,20})"


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """Either a JSON schema or a grammar in llama.cpp's notation."""

    schema: str = ""
    gbnf: str = ""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What llguidance takes, or why there is nothing for it to take."""

    grammar: str = ""
    error: str = ""


def check(asked: Asked, called: str, *, cpu_s: int = CPU_S) -> str:
    """The grammar that answers are held to. Raises Invalid, with `called` for its name, and Unavailable."""
    if len(asked.schema or asked.gbnf) > MAX_LENGTH:
        raise Invalid(f"{called} is longer than {MAX_LENGTH} characters")
    command = [sys.executable, "-m", "seedstock.run.engines.grammar_check", str(cpu_s)]
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(asked), capture_output=True, check=False, timeout=_WALL_S
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"{called} was not looked through within {_WALL_S} s: this machine is busy"
        ) from None
    if done.returncode:
        raise Invalid(f"{called} is too complicated: it takes too much time or memory to follow")
    verdict = msgspec.json.decode(done.stdout, type=Verdict)
    if verdict.error:
        raise Invalid(f"{called} cannot be followed: {verdict.error}")
    return verdict.grammar


def main() -> None:
    """Answer the one question."""
    cpu_s = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # others know no limit of addresses, or refuse it
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    sys.stdout.buffer.write(msgspec.json.encode(_verdict(asked)))


def _verdict(asked: Asked) -> Verdict:
    from llguidance import LLMatcher, LLParserLimits

    try:
        if asked.gbnf:
            from llguidance.gbnf_to_lark import gbnf_to_lark

            grammar = LLMatcher.grammar_from_lark(_in_one_piece(gbnf_to_lark(asked.gbnf)))
        else:
            ours: Any = {"whitespace_flexible": True, "whitespace_pattern": _WHITESPACE, "lenient": False}
            grammar = LLMatcher.grammar_from_json_schema(asked.schema, overrides=ours)
    except Exception as error:  # noqa: BLE001 - the reader of llama.cpp's notation raises what it comes upon
        return Verdict(error=_short(f"{error}" or type(error).__name__))
    wrong = LLMatcher.validate_grammar(grammar, limits=LLParserLimits(max_lexer_states=MAX_LEXER_STATES))
    return Verdict(error=_short(wrong)) if wrong else Verdict(grammar)


def _in_one_piece(lark: str) -> str:
    """A grammar without recursion as one regular expression.

    Of several, the first takes all that it can: `[a-z]+ "b"` would never come to its b.
    """
    rules = re.split(r"^(\w+): ", lark, flags=re.MULTILINE)
    names, bodies = rules[1::2], rules[2::2]
    body = bodies[names.index("start")]
    if "start" in body or any(not name.isupper() for name in names if name != "start"):
        return lark
    return lark.replace(f"start: {body}", f"start: WHOLE__\n\nWHOLE__: {body}", 1)


def _short(text: str) -> str:
    return " ".join(text.split())[:300]


if __name__ == "__main__":
    main()
