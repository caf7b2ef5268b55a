"""What the rewards of a few groups, sampled before training, say about whether training can learn from them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

TOO_LOW = 0.02
TOO_HIGH = 0.98


class BaseRate(msgspec.Struct, frozen=True):
    """How a base does on a run's rewards."""

    mean: float
    success: float
    """Share of completions with the best reward that the rewards allow, or better."""
    zero_variance: float
    """Share of groups in which all completions got the same: they teach nothing."""
    completions: int

    def warnings(self) -> list[str]:
        """What to tell before time is spent, one line each."""
        said = []
        if self.zero_variance == 1:
            said.append(
                f"All {self.completions} completions tried got the same reward as the others of their group: "
                "from such groups nothing is learned"
            )
        if self.success < TOO_LOW:
            said.append(
                f"The base succeeds in {self.success:.1%} of {self.completions} tries: rewards this rare teach "
                "slowly or not at all; train it on examples first (sft), or ask easier questions"
            )
        if self.success > TOO_HIGH:
            said.append(
                f"The base succeeds in {self.success:.1%} of {self.completions} tries: little is left to learn"
            )
        return said


def base_rate(groups: Sequence[Sequence[float]], best: float) -> BaseRate:
    """Judge the totals of a few groups; `best` is the sum of the positive weights."""
    totals = [total for group in groups for total in group]
    count = max(len(totals), 1)
    return BaseRate(
        mean=sum(totals) / count,
        success=sum(total >= best - 1e-9 for total in totals) / count,
        zero_variance=sum(len(set(group)) <= 1 for group in groups) / max(len(groups), 1),
        completions=len(totals),
    )
