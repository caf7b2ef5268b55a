"""One run from a prepared trainer to its result: resumed where there is a checkpoint, watched, measured, saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import PrinterCallback

from seedstock.adapt.methods import Training
from seedstock.adapt.stage import Event, Stage, Stopped
from seedstock.adapt.train.best import Best
from seedstock.adapt.train.checkpoints import Progress, last_checkpoint
from seedstock.adapt.train.facts import versions
from seedstock.adapt.train.heldout import Measured, drop
from seedstock.adapt.train.model import Loaded, Say
from seedstock.adapt.train.plan import Plan
from seedstock.adapt.train.save import merge_adapter, save_output
from seedstock.adapt.train.watch import Measure, Sampler, Watch, memory_bytes


class Run(msgspec.Struct, frozen=True):
    """What is the same for every method of a stage."""

    stage: Stage
    work: Path
    say: Say
    stopping: Callable[[], bool]
    method: Training
    plan: Plan

    @property
    def state(self) -> Path:
        """Where checkpoints are."""
        return self.work / "state"


def fit(
    run: Run, trainer: Any, loaded: Loaded, *, measure: Measure | None, sampler: Sampler | None
) -> dict[str, Any]:
    """Train to the end, save the output, and return the run's figures. Raises Stopped when asked to stop."""
    found = last_checkpoint(run.state)
    checkpoint, progress = found or (None, Progress())
    if checkpoint:
        run.say(Event(log=f"Going on from step {progress.step} of {run.plan.steps}"))
    patience = run.method.patience
    best = Best(run.state, patience) if patience and measure else None
    watch = Watch(
        stage=run.stage,
        say=run.say,
        stopping=run.stopping,
        state=run.state,
        plan=run.plan,
        progress=progress,
        best=best,
        measure=measure,
        sampler=sampler,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if watch.stopped:
        raise Stopped
    model = trainer.model
    if not watch.progress.chain or watch.progress.chain[-1].step != watch.progress.step:
        watch.link(model, trainer.optimizer)
    if best is not None:
        best.restore(model, watch.progress)
    after = watch.measure(model) if measure else None
    if after is not None:
        more = {f"eval_{name}": value for name, value in after.more.items()}
        run.say(Event(metrics={"step": float(watch.progress.step), "eval_loss": after.mean, **more}))
    loaded.model = model
    result = figures(run, watch, loaded, after)
    run.say(Event(log="Saving the result", fraction=0.99))
    if run.method.lora is not None and run.method.lora.merged:
        loaded = merge_adapter(loaded)
    save_output(loaded, run.work)
    return result | {"adapter": loaded.is_adapter}


def figures(run: Run, watch: Watch, loaded: Loaded, after: Measured | None) -> dict[str, Any]:
    """What the record and the card say of the run."""
    done = watch.so_far()
    trained = sum(p.numel() for p in loaded.model.parameters() if p.requires_grad)
    found: dict[str, Any] = {
        "steps": done.step,
        "planned_steps": run.plan.steps,
        "ended_early": watch.ended_early,
        "tokens": done.tokens,
        "seconds": round(done.seconds, 3),
        "cpu_seconds": round(done.cpu_seconds, 3),
        "peak_memory_bytes": memory_bytes(),
        "parameters": sum(p.numel() for p in loaded.model.parameters()),
        "parameters_trained": trained,
        "resolved": {
            "steps": run.plan.steps,
            "micro_batch_size": run.plan.micro_batch,
            "accumulation": run.plan.accumulation,
            "warmup_steps": run.plan.warmup,
            "dtype": "bfloat16" if _half(run) else "float32",
        },
        "versions": versions(),
        "chain": msgspec.to_builtins(done.chain),
    }
    if done.began_as_recorded is not None:
        found["began_as_recorded"] = done.began_as_recorded
    if watch.progress.best_loss is not None:
        found["best_step"] = watch.progress.best_step
    if watch.before is not None and after is not None:
        found |= compared(watch.before, after)
    return found


def compared(before: Measured, after: Measured) -> dict[str, Any]:
    """The held-out loss before and after, with an interval for the difference and the rows it comes from."""
    return {
        "eval_rows": len(after.losses),
        "eval_loss_before": before.mean,
        "eval_loss_after": after.mean,
        **drop(before, after),
        **{f"eval_{name}_before": value for name, value in before.more.items()},
        **{f"eval_{name}_after": value for name, value in after.more.items()},
        "eval_losses": {"before": before.losses, "after": after.losses, "weights": after.weights},
    }


def _half(run: Run) -> bool:
    from seedstock.adapt.train.model import arithmetic

    return arithmetic(run.method.dtype, run.stage.device) == torch.bfloat16
