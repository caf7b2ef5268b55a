"""The rewards by name, each with a version that changes when its verdicts do; names and versions enter recipes.

Light: the server checks forms with `check` and learns from `needs_admin` what an admin must have allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.methods import Reward
from seedstock.adapt.rewards import functions, programs
from seedstock.adapt.rewards.functions import RewardFunction
from seedstock.adapt.rewards.sandbox import FileReward
from seedstock.core.errors import Invalid


class RewardKind(msgspec.Struct, frozen=True):
    """A function of the registry."""

    version: int
    args: type[msgspec.Struct]
    make: Callable[[Any], RewardFunction] | None
    """None: made from a file, in `open_rewards`."""
    columns: tuple[str, ...] = ()
    """Arguments that name columns."""


REWARDS: dict[str, RewardKind] = {
    "exact": RewardKind(1, functions.Exact, functions.exact, ("column",)),
    "format": RewardKind(1, functions.Format, functions.format),
    "number": RewardKind(1, functions.Number, functions.number, ("column",)),
    "countdown": RewardKind(1, functions.Countdown, functions.countdown, ("numbers", "target")),
    "length": RewardKind(1, functions.Length, functions.length),
    "code_tests": RewardKind(1, programs.CodeTests, programs.code_tests, ("column", "setup")),
    "python_file": RewardKind(1, programs.PythonFile, None),
}


class Scored(msgspec.Struct, frozen=True):
    """What a completion got."""

    total: float
    parts: dict[str, float]
    """Each reward's own verdict, before its weight."""


class Rewards:
    """The rewards of a run, added up with their weights."""

    def __init__(self, parts: Sequence[tuple[str, float, RewardFunction]]) -> None:
        self.names = [name for name, _, _ in parts]
        self._parts = list(parts)

    def score(self, prompt: str, completion: str, row: dict[str, Any]) -> Scored:
        """Judge one completion; the row has the columns that the rewards look at."""
        parts = {name: function(prompt, completion, row) for name, _, function in self._parts}
        return Scored(sum(weight * parts[name] for name, weight, _ in self._parts), parts)

    def close(self) -> None:
        """End what processes there are."""
        for _, _, function in self._parts:
            if isinstance(function, FileReward):
                function.close()

    def __enter__(self) -> Rewards:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_rewards(rewards: Sequence[Reward], files: Path | None = None) -> Rewards:
    """Make a run's rewards ready; `files` is the input folder `rewards`. Raises Invalid, Forbidden or SandboxClosed."""
    made: list[tuple[str, float, RewardFunction]] = []
    try:
        for name, reward, args in zip(_names(rewards), rewards, _checked(rewards), strict=True):
            make = REWARDS[reward.fn].make
            if make is not None:
                made.append((name, reward.weight, make(args)))
            elif files is None:
                raise Invalid("A reward from a file needs the input `rewards`")
            else:
                made.append((name, reward.weight, programs.python_file(args, files)))
    except BaseException:
        Rewards(made).close()
        raise
    return Rewards(made)


def check(rewards: Sequence[Reward]) -> None:
    """Raise Invalid for an unknown reward or wrong arguments, naming both."""
    _checked(rewards)


def versions(rewards: Sequence[Reward]) -> dict[str, int]:
    """The version of each function used, for the recipe."""
    check(rewards)
    return {reward.fn: REWARDS[reward.fn].version for reward in rewards}


def columns(rewards: Sequence[Reward]) -> list[str]:
    """The columns of the data that the rewards look at, each once, in order."""
    found = [
        getattr(args, name)
        for reward, args in zip(rewards, _checked(rewards), strict=True)
        for name in REWARDS[reward.fn].columns
    ]
    return [name for name in dict.fromkeys(found) if name]


def needs_admin(rewards: Sequence[Reward]) -> list[str]:
    """Why an admin has to allow these rewards, one line each; empty: nobody has to."""
    reasons = []
    for reward, args in zip(rewards, _checked(rewards), strict=True):
        if reward.fn == "python_file":
            reasons.append(f"runs the code of rewards/{args.file}")
        if getattr(args, "isolate", True) is False:
            reasons.append(f"`{reward.fn}` runs code without isolation")
    return reasons


def admins_rewards(args: Mapping[str, Any]) -> list[str]:
    """`needs_admin` of a stage's arguments, whatever its operation. Raises Invalid for a reward that there is not."""
    return needs_admin(msgspec.convert(args.get("rewards", []), list[Reward]))


def _checked(rewards: Sequence[Reward]) -> list[Any]:
    return [_args(reward) for reward in rewards]


def _args(reward: Reward) -> Any:
    kind = REWARDS.get(reward.fn)
    if kind is None:
        raise Invalid(f"There is no reward {reward.fn!r}", hint=f"There are: {', '.join(REWARDS)}.")
    try:
        return msgspec.convert(reward.args, kind.args, strict=True)
    except msgspec.ValidationError as error:
        raise Invalid(f"The arguments of the reward {reward.fn!r}: {error}") from error


def _names(rewards: Sequence[Reward]) -> list[str]:
    """The function's name; with a number where one is used more than once."""
    seen: dict[str, int] = {}
    names = []
    for reward in rewards:
        seen[reward.fn] = seen.get(reward.fn, 0) + 1
        names.append(reward.fn if seen[reward.fn] == 1 else f"{reward.fn}_{seen[reward.fn]}")
    return names
