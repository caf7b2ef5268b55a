"""Group-relative policy optimisation with verifiable rewards, on trl's GRPOTrainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig

from seedstock.adapt.methods import Grpo
from seedstock.adapt.rewards.base_rate import base_rate
from seedstock.adapt.rewards.registry import Rewards, columns, open_rewards
from seedstock.adapt.stage import Event, Stage
from seedstock.adapt.train.checkpoints import last_checkpoint
from seedstock.adapt.train.folder import inspect_folder
from seedstock.adapt.train.heldout import choose
from seedstock.adapt.train.judging import Judge, changed, digest, learned_nothing
from seedstock.adapt.train.loop import Run, fit
from seedstock.adapt.train.model import Loaded, Say, load, load_tokenizer, lora_config, make_deterministic
from seedstock.adapt.train.plan import Plan, make_plan, trainer_arguments
from seedstock.adapt.train.policy import GroupTrainer, Rollouts
from seedstock.adapt.train.questions import (
    Question,
    ends_of,
    most_prompt_tokens,
    order,
    read_questions,
    shown_questions,
)
from seedstock.adapt.train.rollout import Decoding
from seedstock.adapt.train.rows import open_rows
from seedstock.core.errors import Invalid

_LOSSES = {"token_mean": "dapo", "sequence_mean": "grpo", "dr_grpo": "dr_grpo"}
_SCALES = {"group_std": "group", "batch_std": "batch", "none": "none"}
_TRIED = 8
"""Questions whose groups are tried before training."""
FEWEST_ROWS = 64
"""Completions written at a time, even where fewer are learned from at a time: writing takes far less memory."""


def run(stage: Stage, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Train the base on the rewards that its own completions get."""
    method = sized(msgspec.convert(stage.args, Grpo))
    make_deterministic(stage)
    files = work / "inputs" / "rewards"
    with open_rewards(method.rewards, files if files.is_dir() else None) as rewards:
        say(Event(log="Reading the questions", fraction=0.0))
        rows = open_rows(work, method.rows, "grpo", say, columns=columns(method.rewards))
        tokenizer = load_tokenizer(work / "inputs" / "base")
        say(Event(log="Loading the base model", fraction=0.0))
        loaded = load(stage, work, method, tokenizer=tokenizer, attach=False)
        questions = read_questions(
            rows,
            loaded.tokenizer,
            say=say,
            stopping=stopping,
            most_tokens=most_prompt_tokens(loaded.model.config, method.max_length, method.max_new_tokens),
        )
        return _Stage(stage, work, say, stopping, method, rewards, loaded, questions).run()


def sized(method: Grpo) -> Grpo:
    """The method with the batch size that follows from its questions, group and minibatches."""
    completions = method.questions * method.group
    if completions % method.minibatches:
        raise Invalid(
            f"{method.questions} questions in groups of {method.group} are {completions} completions, "
            f"which do not make {method.minibatches} equal minibatches"
        )
    return msgspec.structs.replace(method, batch_size=completions // method.minibatches)


def grpo_config(method: Grpo, stage: Stage, work: Path, plan: Plan) -> GRPOConfig:
    """Every setting of trl's that changes results, none left to its default."""
    return GRPOConfig(
        **trainer_arguments(method, stage, work, plan),
        num_generations=method.group,
        num_generations_eval=None,
        steps_per_generation=plan.accumulation * method.minibatches,
        generation_batch_size=None,
        num_iterations=1,
        max_completion_length=method.max_new_tokens,
        temperature=method.temperature,
        top_p=method.top_p,
        top_k=0,
        min_p=None,
        repetition_penalty=1.0,
        beta=method.beta,
        epsilon=method.eps,
        epsilon_high=method.eps,
        delta=None,
        importance_sampling_level="token",
        loss_type=_LOSSES[method.loss],
        scale_rewards=_SCALES[method.scale],
        reward_weights=None,  # one function: the sum that `Rewards` makes
        multi_objective_aggregation="sum_then_normalize",
        mask_truncated_completions=False,
        top_entropy_quantile=1.0,
        entropy_coef=0.0,
        use_adaptive_entropy=False,
        off_policy_mask_threshold=None,
        use_bias_correction_kl=False,  # the estimator of arXiv 2402.03300, as R1 used it
        sync_ref_model=False,
        disable_dropout=False,
        cast_lm_head_to_fp32=False,
        shuffle_dataset=False,  # `order` has shuffled
        pad_to_multiple_of=None,
        use_vllm=False,
        use_transformers_continuous_batching=False,
        log_completions=False,
        model_init_kwargs=None,
        trust_remote_code=False,
    )


class _Stage:
    """A stage with all that it needs in memory."""

    def __init__(
        self,
        stage: Stage,
        work: Path,
        say: Say,
        stopping: Callable[[], bool],
        method: Grpo,
        rewards: Rewards,
        loaded: Loaded,
        questions: Sequence[Question],
    ) -> None:
        self._stage, self._work, self._say, self._stopping = stage, work, say, stopping
        self._method, self._loaded = method, loaded
        chosen = set(choose(len(questions), method.held_out, stage.seed))
        self._train = [question for at, question in enumerate(questions) if at not in chosen]
        self._held_out = [questions[at] for at in sorted(chosen)]
        self._decoding = Decoding(
            max_new_tokens=method.max_new_tokens,
            temperature=method.temperature,
            top_p=method.top_p,
            ends=tuple(ends_of(loaded)),
            pad=loaded.tokenizer.pad_token_id,
        )
        self._judge = Judge(loaded.tokenizer, rewards, method.rewards, self._decoding, stage.seed)

    def run(self) -> dict[str, Any]:
        method, judge = self._method, self._judge
        samples = len(self._held_out) * judge.per_question(len(self._held_out))
        plan = make_plan(method, len(self._train) * method.group, samples)
        rows = max(plan.micro_batch, FEWEST_ROWS)
        trainer = self._trainer(plan, rows)
        self._loaded.model = trainer.model
        before = digest(self._loaded)
        fresh = last_checkpoint(self._work / "state") is None
        if fresh:
            self._try_base(trainer.model, rows)
        shown = shown_questions(method.sample_prompts, self._held_out or self._train, self._loaded.tokenizer)
        result = fit(
            Run(self._stage, self._work, self._say, self._stopping, method, plan),
            trainer,
            self._loaded,
            measure=(lambda: judge.measure(trainer.model, self._held_out, rows)) if self._held_out else None,
            sampler=lambda: judge.samples(trainer, shown),
        )
        reason = learned_nothing(trainer.state.log_history, changed(before, digest(self._loaded)))
        if reason:
            self._say(Event(log=f"Warning: nothing was learned: {reason}"))
        return result | {
            "rows": len(self._train) + len(self._held_out),
            "rows_held_out": len(self._held_out),
            "no_learning": bool(reason),
            "no_learning_reason": reason,
        }

    def _trainer(self, plan: Plan, rows: int) -> GroupTrainer:
        method, stage = self._method, self._stage
        fresh = method.lora is not None and not self._loaded.is_adapter
        if method.beta and method.lora is None:
            reference_folder(self._loaded, self._work)
        asked = order(len(self._train), -(-plan.steps // method.minibatches) * method.questions, stage.seed)
        data = {"prompt": [q.prompt for q in self._train], "question": list(range(len(self._train)))}
        return GroupTrainer(
            rollouts=Rollouts(self._decoding, stage.seed, rows),
            judge=lambda which, ids, log: self._judge.totals([self._train[at] for at in which], ids, log),
            model=self._loaded.model,
            # trl then takes the model without the adapter for the reference, and not a copy.
            peft_config=lora_config(method.lora) if fresh and method.lora else None,
            args=grpo_config(method, stage, self._work, plan),
            train_dataset=Dataset.from_dict(data).select(asked),
            processing_class=self._loaded.tokenizer,
        )

    def _try_base(self, model: Any, rows: int) -> None:
        """Say before any time is spent whether there is something to learn from."""
        group = self._method.group
        asked = self._train[:_TRIED]
        totals = self._judge.judged(model, [q for q in asked for _ in range(group)], rows)
        groups = [totals[at : at + group] for at in range(0, len(totals), group)]
        rate = base_rate(groups, self._judge.best)
        self._say(
            Event(
                log=f"Before training: reward {rate.mean:.3f}, success {rate.success:.1%} in {len(totals)} tries"
            )
        )
        for warning in rate.warnings():
            self._say(Event(log=f"Warning: {warning}"))


def reference_folder(loaded: Loaded, work: Path) -> None:
    """Trl loads the reference from where the model came; a GGUF file has to be unpacked for it."""
    if inspect_folder(work / "inputs" / "base").gguf is None:
        return
    folder = work / "state" / "reference"
    if not (folder / "config.json").is_file():
        loaded.model.save_pretrained(str(folder))
    loaded.model.config._name_or_path = str(folder)  # noqa: SLF001 - where trl looks
