"""A signed run record and the output that it is about."""

from __future__ import annotations

from pathlib import Path

from seedstock.openness.signing_keys import HubKey
from seedstock.recipes.comparison import compare_digests
from seedstock.recipes.outputs import describe_output
from seedstock.recipes.record import InputFact, MetricFact, RunRecord, StageFact
from seedstock.recipes.trust import Runner
from seedstock.recipes.verdict import Evidence, judge
from tests.factories.tensors import safetensors_bytes
from tests.unit.recipes.samples import commit, digest

KEY = HubKey.from_seed(b"k" * 32)
ENVIRONMENT = {"threads": "1", "torch": "2.13.0", "cpu_capability": "AVX2", "lock": "1" * 64}


def write_output(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(safetensors_bytes({"a": ("F32", (4, 4)), "b": ("F32", (4,))}))
    return folder


def record_of(output: Path) -> RunRecord:
    made = describe_output(output)
    return RunRecord(
        id="run-1",
        recipe="tiny",
        recipe_digest=digest("recipe"),
        started_ms=1_700_000_000_000,
        ended_ms=1_700_000_060_000,
        inputs=[
            InputFact(name="base", kind="model", uri="ada/base", digest=digest("b"), revision=commit("b")),
            InputFact(name="rows", kind="file", uri="rows.jsonl", digest=digest("r")),
        ],
        stages=[
            StageFact(
                stage="sft",
                op="sft",
                identity=digest("sft"),
                started_ms=1_700_000_000_000,
                ended_ms=1_700_000_050_000,
                cpu_s=49.5,
                output=made,
                metrics={"loss": 1.25},
                curve=[{"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.25}],
            )
        ],
        environment=ENVIRONMENT,
        runner=Runner(id="worker-1", kind="hub-worker", owner="lab"),
        log_sha256="2" * 64,
        metrics=[
            MetricFact(
                stage="sft", metric="pass@1", model="replica", value=0.5, n=4, items=[[1.0, 0.0, 0.5, 0.5]]
            )
        ],
        judgement=judge(Evidence(comparison=compare_digests(made, made))),
    )
