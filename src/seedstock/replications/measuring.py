"""A claim's metric, measured here for the original and for the replica alike: the same items, the same decoding.

An evaluation is a stage that samples and keeps every answer, so it runs where training runs, under the same limits.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from seedstock.adapt.launch import Launcher, Say
from seedstock.adapt.methods import Reward, Sample
from seedstock.adapt.stage import Stage, write_stage
from seedstock.core.errors import Invalid
from seedstock.recipes.recipe import Claim, Recipe

_KEEP_ALL = -1e9
_BATCH = 256
Scores = list[float]


class _Answer(msgspec.Struct, frozen=True):
    prompt: msgspec.Raw
    reward: float


class Evaluator:
    """Scores models on the items of claims."""

    def __init__(
        self, launcher: Launcher, say: Say, stopping: Callable[[], bool], memory_bytes: int | None
    ) -> None:
        self._launcher = launcher
        self._say = say
        self._stopping = stopping
        self._memory_bytes = memory_bytes

    def scores(self, recipe: Recipe, claim: Claim, model: Path, data: Path, work: Path) -> Scores:
        """The mean score of each item, in the order of the items. Raises what the launcher raises."""
        if not (work / "output").exists():
            self._lay_out(recipe, claim, model, data, work)
        self._launcher.run(work, self._say, self._stopping)
        return _by_item((work / "output" / "data.jsonl").read_bytes(), claim.eval.samples, claim.eval.n)

    def _lay_out(self, recipe: Recipe, claim: Claim, model: Path, data: Path, work: Path) -> None:
        wanted = claim.eval
        args = Sample(
            per_prompt=wanted.samples,
            temperature=wanted.temperature,
            top_p=wanted.top_p,
            max_new_tokens=wanted.max_new_tokens,
            batch_size=max(_BATCH, wanted.samples),
            rewards=[Reward(fn=wanted.fn, args=wanted.fn_args)],
            keep_at_least=_KEEP_ALL,
        )
        how = recipe.determinism
        stage = Stage(
            op="sample",
            args=msgspec.to_builtins(args),
            inputs={},
            seed=wanted.seed,
            threads=how.threads,
            device=how.device,
            memory_bytes=self._memory_bytes,
        )
        write_stage(work, stage)
        for role, folder in (("base", model), ("data", data)):
            link = work / "inputs" / role
            link.unlink(missing_ok=True)
            link.symlink_to(folder.absolute())


def _by_item(said: bytes, samples: int, items: int) -> Scores:
    """Answers come in the order of their prompts, `samples` for each."""
    rewards = [msgspec.json.decode(line, type=_Answer).reward for line in said.splitlines()]
    if not rewards or len(rewards) % samples:
        raise Invalid(f"The evaluation gave {len(rewards)} answers, which is no multiple of {samples}")
    found = [sum(rewards[at : at + samples]) / samples for at in range(0, len(rewards), samples)]
    if len(found) < items:
        raise Invalid(f"The claim is about {items} items; its data holds {len(found)}")
    return found[:items]
