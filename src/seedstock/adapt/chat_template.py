"""A base model's chat template, rendered without its tokenizer: what it writes, and which part the assistant said.

Templates are programs from strangers. They run in Jinja's sandbox, which keeps them from everything but time and
memory; whoever renders them for a request does it in a process with limits (`preview_process`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox
import msgspec

from seedstock.core.errors import Invalid, TooLarge

MAX_TEMPLATE_BYTES = 1 << 20
MAX_CONFIG_BYTES = 16 << 20
MAX_RENDERED = 64 << 20
# Noncharacters: no text has them. They mark what stands between {% generation %} and {% endgeneration %}.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_TURNS = (
    "{{%- for message in messages %}}"
    "{{{{- {open} }}}}"
    "{{%- if message['role'] == 'assistant' %}}"
    "{{%- generation %}}{{{{- message['content'] + {close} }}}}{{%- endgeneration %}}"
    "{{%- else %}}{{{{- message['content'] + {stop} }}}}{{%- endif %}}"
    "{{{{- {between} }}}}"
    "{{%- endfor %}}"
    "{{%- if add_generation_prompt %}}{{{{- {ask} }}}}{{%- endif %}}"
)
CHATML = _TURNS.format(
    open=r"'<|im_start|>' + message['role'] + '\n'",
    close="'<|im_end|>'",
    stop="'<|im_end|>'",
    between=r"'\n'",
    ask=r"'<|im_start|>assistant\n'",
)
# The names end with a newline: after a space, the next token would be another one than in generation.
PLAIN = _TURNS.format(
    open=r"(message['role'] | capitalize) + ':\n'",
    close="eos_token",
    stop="''",
    between=r"'\n'",
    ask=r"'Assistant:\n'",
)
"""For bases without a template: ChatML where the vocabulary has its marks, else a line for each turn."""


class Rendered(msgspec.Struct, frozen=True):
    """A conversation as text; `spans` are the [start, stop) that the assistant said."""

    text: str
    spans: tuple[tuple[int, int], ...] | None
    """None: the template writes turns differently inside a conversation, so that it cannot be told."""


class ChatTemplate:
    """A compiled template. `own`: whether it is the base's, not the fallback."""

    def __init__(self, source: str, special: dict[str, str], ends: Sequence[str], *, own: bool) -> None:
        self.own = own
        self._special = special
        self._ends = tuple(end for end in ends if end)
        try:
            self._template = _environment().from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise Invalid(f"The base's chat template cannot be read: {_line(error)}") from None

    def write(self, messages: list[dict[str, Any]], *, ask: bool = False) -> str:
        """The conversation as text; `ask`: up to where the assistant begins. Raises Invalid where it refuses."""
        return self._write(messages, ask=ask).replace(_OPEN, "").replace(_CLOSE, "")

    def render(self, messages: list[dict[str, Any]]) -> Rendered:
        """The conversation as text, with the assistant's part by the template's marks, else by comparison."""
        marked = self._write(messages, ask=False)
        if _OPEN in marked:
            return _unmark(marked)
        spans = [
            self._span(messages, at, marked) for at, one in enumerate(messages) if one["role"] == "assistant"
        ]
        return Rendered(marked, None if None in spans else tuple(span for span in spans if span))

    def _span(self, messages: list[dict[str, Any]], at: int, text: str) -> tuple[int, int] | None:
        """What the text up to and with a turn has that the text before it has not."""
        start = shared_length(self.write(messages[:at], ask=True), text) if at else 0
        stop = shared_length(self.write(messages[: at + 1]), text)
        if start >= stop or messages[at]["content"].strip() not in text[start:stop]:
            return None
        # What separates turns belongs to nobody: the assistant stops at its end-of-turn token.
        trimmed = text[start:stop].rstrip()
        return (start, start + len(trimmed)) if trimmed.endswith(self._ends) else (start, stop)

    def _write(self, messages: list[dict[str, Any]], *, ask: bool) -> str:
        values = {
            **self._special,
            "messages": messages,
            "add_generation_prompt": ask,
            "tools": None,
            "documents": None,
        }
        pieces, size = [], 0
        try:
            for piece in self._template.generate(**values):
                size += len(piece)
                if size > MAX_RENDERED:
                    raise TooLarge(
                        f"The chat template writes more than {MAX_RENDERED} characters for one row"
                    )
                pieces.append(piece)
        except TooLarge:
            raise
        except MemoryError:
            raise TooLarge("The chat template needs too much memory for this row") from None
        except Exception as error:
            raise Invalid(
                f"The chat template does not take this conversation: {_line(error)}",
                hint="Many templates want the roles to alternate, beginning with user or system",
            ) from error
        return "".join(pieces)


def read_chat_template(
    base: Path, vocabulary: Callable[[str], bool], ends: Sequence[str] = ()
) -> ChatTemplate:
    """The template of a model folder, or the fallback; `vocabulary` says whether a token exists, `ends` end turns."""
    config = _read_object(base / "tokenizer_config.json")
    special = {
        name: _token(config[name])
        for name in ("bos_token", "eos_token", "pad_token", "unk_token")
        if config.get(name)
    }
    source = _template_file(base) or _named(config.get("chat_template"))
    if source is not None:
        return ChatTemplate(source, special, ends, own=True)
    chatml = vocabulary("<|im_start|>") and vocabulary("<|im_end|>")
    return ChatTemplate(CHATML if chatml else PLAIN, {"eos_token": "", **special}, ends, own=False)


def shared_length(left: str, right: str) -> int:
    """Length of what two texts begin with in common."""
    most = min(len(left), len(right))
    if left[:most] == right[:most]:
        return most
    return next(at for at, (one, other) in enumerate(zip(left, right, strict=False)) if one != other)


def _template_file(base: Path) -> str | None:
    path = base / "chat_template.jinja"
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_TEMPLATE_BYTES:
        raise Invalid(f"chat_template.jinja is larger than {MAX_TEMPLATE_BYTES} bytes")
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise Invalid("chat_template.jinja is not UTF-8") from None


def _named(value: Any) -> str | None:
    """The template of a configuration: a string, or the one called `default` in a list of named ones."""
    if isinstance(value, list):
        named = {one.get("name"): one.get("template") for one in value if isinstance(one, dict)}
        value = named.get("default")
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TEMPLATE_BYTES else None


def _token(value: Any) -> str:
    content = value.get("content", "") if isinstance(value, dict) else value
    return content if isinstance(content, str) else ""


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise Invalid(f"{path.name} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        value = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeError, RecursionError, OSError):
        raise Invalid(f"{path.name} of the base is no JSON") from None
    return value if isinstance(value, dict) else {}


def _unmark(marked: str) -> Rendered:
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    size = 0
    for number, part in enumerate(marked.split(_OPEN)):
        said, _, rest = part.partition(_CLOSE) if number else ("", "", part)
        if number:
            spans.append((size, size + len(said)))
        rest = rest.replace(_CLOSE, "")
        pieces += [said, rest]
        size += len(said) + len(rest)
    return Rendered("".join(pieces), tuple(spans))


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`: marks what the assistant says."""

    tags = {"generation"}  # noqa: RUF012  (jinja2's interface)

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """Wrap the block in a call that puts the marks around it."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Callable[[], str]) -> str:
        return f"{_OPEN}{caller()}{_CLOSE}"


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    """As transformers sets it up, so that templates written for it come out the same."""
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda form: datetime.now(UTC).strftime(form)
    return made


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
