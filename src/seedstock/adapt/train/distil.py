"""On-policy distillation with trl's DistillationTrainer: the student writes, the teacher grades each token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from datasets import Dataset
from trl.trainer.distillation_config import DistillationConfig

from seedstock.adapt.methods import Distil
from seedstock.adapt.stage import Event, Stage
from seedstock.adapt.train.divergence import Divergence
from seedstock.adapt.train.encode import IGNORED, encode_completion
from seedstock.adapt.train.folder import check_folder, has_tokenizer, inspect_folder
from seedstock.adapt.train.heldout import choose
from seedstock.adapt.train.judging import changed, digest, learned_nothing
from seedstock.adapt.train.loop import Run, fit
from seedstock.adapt.train.model import (
    Loaded,
    Say,
    arithmetic,
    load,
    load_model,
    load_tokenizer,
    lora_config,
    make_deterministic,
)
from seedstock.adapt.train.plan import Plan, make_plan, trainer_arguments
from seedstock.adapt.train.policy import Rollouts, StudentTrainer
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
from seedstock.core.errors import HubError, Invalid

FEWEST_ROWS = 32
"""Completions written at a time, even where fewer are learned from at a time."""


def run(stage: Stage, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Bring the base's next-token probabilities closer to the teacher's."""
    method = msgspec.convert(stage.args, Distil)
    make_deterministic(stage)
    say(Event(log="Reading the prompts", fraction=0.0))
    dataset = open_rows(work, method.rows, "distil", say)
    say(Event(log="Loading the student and the teacher", fraction=0.0))
    tokenizer = load_tokenizer(work / "inputs" / "base")
    loaded = load(stage, work, method, tokenizer=tokenizer, attach=False)
    teacher = _teacher(stage, work, method, loaded)
    room = min(
        most_prompt_tokens(model.config, method.max_length, method.max_new_tokens)
        for model in (loaded.model, teacher)
    )
    questions = read_questions(dataset, loaded.tokenizer, say=say, stopping=stopping, most_tokens=room)
    chosen = set(choose(len(questions), method.held_out, stage.seed))
    train = [question for at, question in enumerate(questions) if at not in chosen]
    held_out = [questions[at] for at in sorted(chosen)]
    plan = make_plan(method, len(train), len(held_out))
    decoding = Decoding(
        max_new_tokens=method.max_new_tokens,
        temperature=method.temperature,
        ends=tuple(ends_of(loaded)),
        pad=loaded.tokenizer.pad_token_id,
    )
    at_once = max(plan.micro_batch, FEWEST_ROWS)
    asked = order(len(train), plan.steps * method.batch_size, stage.seed)
    data = {"prompt": [question.prompt for question in train], "question": list(range(len(train)))}
    continued = loaded.is_adapter
    trainer = StudentTrainer(
        rollouts=Rollouts(decoding, stage.seed, at_once),
        on_policy=method.on_policy,
        given=[] if method.on_policy == 1 else [_given(loaded.tokenizer, one, method) for one in train],
        model=loaded.model,
        teacher_model=teacher,
        peft_config=None if continued or method.lora is None else lora_config(method.lora),
        args=distil_config(method, stage, work, plan),
        train_dataset=Dataset.from_dict(data).select(asked),
        processing_class=loaded.tokenizer,
    )
    loaded.model = trainer.model
    before = digest(loaded)
    divergence = Divergence(trainer, teacher, loaded.tokenizer, decoding, stage.seed, at_once)
    shown = shown_questions(method.sample_prompts, held_out or train, loaded.tokenizer)
    result = fit(
        Run(stage, work, say, stopping, method, plan),
        trainer,
        loaded,
        measure=(lambda: divergence.measure(held_out)) if held_out else None,
        sampler=lambda: divergence.samples(shown),
    )
    reason = learned_nothing([], changed(before, digest(loaded)))
    return result | {
        "rows": len(questions),
        "rows_held_out": len(held_out),
        "no_learning": bool(reason),
        "no_learning_reason": reason,
    }


def distil_config(method: Distil, stage: Stage, work: Path, plan: Plan) -> DistillationConfig:
    """Every setting of trl's that changes results, none left to its default."""
    return DistillationConfig(
        **trainer_arguments(method, stage, work, plan),
        beta=method.beta,
        temperature=method.temperature,
        top_p=1.0,
        top_k=0,
        min_p=None,
        repetition_penalty=1.0,
        max_completion_length=method.max_new_tokens,
        disable_dropout=False,
        shuffle_dataset=False,  # `order` has shuffled
        pad_to_multiple_of=None,
        use_vllm=False,
        log_completions=False,
        model_init_kwargs=None,
        teacher_model_init_kwargs=None,
        trust_remote_code=False,
    )


def _teacher(stage: Stage, work: Path, method: Distil, student: Loaded) -> Any:
    """The teacher, frozen. Raises Invalid unless it shares the student's vocabulary."""
    folder = inspect_folder(work / "inputs" / "teacher")
    check_folder(folder, stage.memory_bytes)
    if has_tokenizer(folder.path):
        check_tokens(student.tokenizer, load_tokenizer(folder.path))
    ours = student.model.config.get_text_config(decoder=True).vocab_size
    said = (folder.config or {}).get("vocab_size", ours)
    if said != ours:  # found before gigabytes are loaded
        raise _strangers(f"the student's model has {ours} tokens and the teacher's {said}")
    teacher = load_model(folder, dtype=arithmetic(method.dtype, stage.device), device=stage.device)
    ours, theirs = (
        model.config.get_text_config(decoder=True).vocab_size for model in (student.model, teacher)
    )
    if ours != theirs:
        raise _strangers(f"the student's model has {ours} tokens and the teacher's {theirs}")
    return teacher.requires_grad_(False).eval()


def check_tokens(student: Any, teacher: Any) -> None:
    """Raise Invalid unless both tokenizers give every number the same token."""
    ours, theirs = student.get_vocab(), teacher.get_vocab()
    if len(ours) != len(theirs):
        raise _strangers(f"the student's tokenizer has {len(ours)} tokens and the teacher's {len(theirs)}")
    other = next((token for token, number in ours.items() if theirs.get(token) != number), None)
    if other is not None:
        raise _strangers(f"token {ours[other]} of the student is {other!r}, and another one of the teacher")


def _strangers(why: str) -> Invalid:
    return Invalid(
        f"Student and teacher have different vocabularies: {why}",
        hint="Take a teacher of the student's family; or sample answers from the teacher (sample) and train on them (sft)",
    )


def _given(tokenizer: Any, question: Question, method: Distil) -> list[int]:
    """The row's own completion as tokens, for batches that the student does not write."""
    row = question.row
    completion = row.get("completion")
    if completion is None and row.get("messages"):
        completion = row["messages"][len(question.prompt) :]
    if not completion:
        raise Invalid(
            f"on_policy is {method.on_policy:g}, and a row has no completion: {question.text[:60]!r}",
            hint="Set on_policy to 1, or give every row a completion",
        )
    try:
        encoded = encode_completion(tokenizer, question.prompt, completion, assistant_only=True)
    except HubError as error:
        raise Invalid(f"A row cannot be used: {error.message}", hint=error.hint) from error
    ids = [token for token, label in zip(encoded.input_ids, encoded.labels, strict=True) if label != IGNORED]
    return ids[: method.max_new_tokens]
