"""Rewards that run code: a completion's program against tests, and a reward function from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from seedstock.adapt.rewards.functions import RewardFunction
from seedstock.adapt.rewards.parts import THINK
from seedstock.adapt.rewards.sandbox import FileReward, run_tests
from seedstock.core.errors import Forbidden, Invalid

MAX_PROGRAM_CHARS = 100_000
_FENCE = "```"


class CodeTests(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the Python program of the completion passes the tests of a column: statements that raise where it fails."""

    column: str = "tests"
    """A list of tests, or one text."""
    setup: str = ""
    """A column with code that runs before the program; empty: none."""
    share: bool = False
    """The share of tests that pass, instead of 1 for all and 0 for less."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 5.0
    memory_bytes: Annotated[int, msgspec.Meta(ge=64 << 20)] = 256 << 20
    isolate: bool = True
    """False: limits alone, with the network and the files of the machine in reach. An admin's to allow."""


class PythonFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reward(prompt, completion, row)` of a file in the input `rewards`. An admin's to allow."""

    file: str
    allowed: bool = False
    """Set by the hub when an admin has allowed this file."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=120)] = 5.0
    memory_bytes: Annotated[int, msgspec.Meta(ge=64 << 20)] = 512 << 20
    isolate: bool = True


def program_of(completion: str) -> str | None:
    """The last fenced block, or everything after the thought where there is none; None when it is too long."""
    text = completion.rpartition(THINK[1])[2]
    before, fence, _ = text.rpartition(_FENCE)
    if fence:
        head, opening, body = before.rpartition(_FENCE)
        language, newline, rest = body.partition("\n")
        text = rest if opening and newline and len(language) < 20 else (body if opening else head or before)
    return text if len(text) <= MAX_PROGRAM_CHARS else None


def code_tests(args: CodeTests) -> RewardFunction:
    """See `CodeTests`."""

    def reward(_prompt: str, completion: str, row: dict[str, Any]) -> float:
        tests = row.get(args.column)
        tests = [tests] if isinstance(tests, str) else tests
        program = program_of(completion)
        if not tests or not isinstance(tests, list) or program is None:
            return 0.0
        setup = str(row.get(args.setup) or "") if args.setup else ""
        passed = run_tests(
            f"{setup}\n{program}",
            [str(test) for test in tests],
            timeout_s=args.timeout_s,
            memory_bytes=args.memory_bytes,
            isolate=args.isolate,
        )
        return passed / len(tests) if args.share else float(passed == len(tests))

    return reward


def python_file(args: PythonFile, folder: Path) -> FileReward:
    """See `PythonFile`. Raises Forbidden unless it is allowed, Invalid when there is no such file or it fails."""
    if not args.allowed:
        raise Forbidden(
            f"The reward file {args.file} is code that no admin has allowed",
            hint="Ask an admin of this hub, or use a reward of the registry.",
        )
    path = folder / args.file
    if Path(args.file).name != args.file or not path.is_file():
        raise Invalid(f"There is no reward file {args.file} in the recipe's folder `rewards`")
    return FileReward(path, timeout_s=args.timeout_s, memory_bytes=args.memory_bytes, isolate=args.isolate)
