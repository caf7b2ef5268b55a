"""Run records: written, read, verified, and held against outputs, through the command too."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from seedstock.cli.main import cli
from seedstock.core.errors import Integrity, Unauthenticated, UnsupportedFormat
from seedstock.openness.records import Statement, sign_record
from seedstock.openness.signing_keys import HubKey
from seedstock.recipes.outputs import OutputDigest
from seedstock.recipes.platform import platform_class
from seedstock.recipes.record import RunRecord, run_statement, sign_run, verify_run
from seedstock.recipes.record_check import check_output, find_stage
from seedstock.recipes.trust import Trust
from tests.unit.recipes.records import ENVIRONMENT, KEY, record_of, write_output


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_output(tmp_path / "output")


@pytest.fixture
def record(output: Path) -> RunRecord:
    return record_of(output)


def run(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(cli, ["verify-record", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_a_record_is_read_as_it_was_signed(record: RunRecord) -> None:
    envelope = sign_run(record, KEY)
    assert verify_run(envelope, [KEY.public]) == record
    assert sign_run(record, KEY) == envelope
    assert record.trust is Trust.HUB_WORKER
    with pytest.raises(Unauthenticated):
        verify_run(envelope, [HubKey.generate().public])


def test_other_tools_find_slsa_provenance(record: RunRecord) -> None:
    statement = json.loads(run_statement(record).encode())
    assert (statement["_type"], statement["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    assert [item["name"] for item in statement["subject"]] == ["sft/config.json", "sft/model.safetensors"]
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert definition["externalParameters"]["recipe"]["digest"] == record.recipe_digest
    assert [item["name"] for item in definition["resolvedDependencies"]] == ["base", "rows", "lock"]
    assert definition["resolvedDependencies"][0]["digest"]["gitCommit"] == record.inputs[0].revision
    assert details["builder"]["id"] == "worker-1"
    assert details["metadata"]["startedOn"] == "2023-11-14T22:13:20.000Z"
    assert statement["predicate"]["verdict"] == "bit-exact"


def test_a_run_without_outputs_is_about_its_recipe(record: RunRecord) -> None:
    failed = msgspec.structs.replace(record, stages=[], judgement=None)
    assert [item.name for item in run_statement(failed).subject] == ["recipe/tiny"]
    assert verify_run(sign_run(failed, KEY), [KEY.public]) == failed


def signed(record: RunRecord, **predicate: Any) -> bytes:
    honest = run_statement(record)
    return sign_record(Statement(honest.subject, honest.predicate_type, honest.predicate | predicate), KEY)


def test_a_record_that_contradicts_itself_is_refused_even_if_it_is_signed(record: RunRecord) -> None:
    with pytest.raises(Integrity, match="contradicts itself"):
        verify_run(signed(record, verdict="within-tolerance"), [KEY.public])
    with pytest.raises(Integrity, match="contradicts itself"):
        verify_run(signed(record, trust="independent-hub-workers"), [KEY.public])
    with pytest.raises(UnsupportedFormat, match="Not a run record"):
        verify_run(signed(record, seedstock={"id": 1}), [KEY.public])
    with pytest.raises(UnsupportedFormat, match="not about the run of a recipe"):
        verify_run(signed(record, buildDefinition={}), [KEY.public])


def test_the_platform_class_depends_on_what_decides() -> None:
    same = platform_class({**ENVIRONMENT, "cpu": "another", "python": "3.12"})
    assert same == platform_class(ENVIRONMENT)
    others = [
        {"threads": "2"},
        {"cpu_capability": "DEFAULT"},
        {"torch": "2.14.0"},
        {"env.MKL_CBWR": "COMPATIBLE"},
    ]
    assert len({platform_class({**ENVIRONMENT, **other}) for other in others} | {same}) == 5


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_facts_of_a_process_tell_its_threads_apart() -> None:
    program = (
        "import json, torch; from seedstock.adapt.platform_facts import platform_facts as facts\n"
        "print(json.dumps([torch.set_num_threads(n) or facts() for n in (1, 1, 2)]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    one, again, two = json.loads(done.stdout)
    assert one["torch_build"].startswith("sha256:")
    assert (one["threads"], one["env.OMP_NUM_THREADS"], two["threads"]) == ("1", "1", "2")
    assert platform_class(one) == platform_class(again) != platform_class(two)


def test_outputs_on_disk_are_held_against_the_record(record: RunRecord, output: Path) -> None:
    assert check_output(record, output).problems == ()
    (output / "README.md").write_text("what publication adds")
    assert check_output(record, output, "sft").problems == ()
    (output / "extra.bin").write_bytes(b"x")
    (output / "config.json").unlink()
    weights = bytearray((output / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (output / "model.safetensors").write_bytes(weights)
    lost, changed, extra = check_output(record, output).problems
    assert lost == "config.json is missing"
    assert changed.startswith("model.safetensors is ")
    assert extra == "extra.bin is not among what was made"


def test_outputs_are_those_of_the_model_though_it_was_evaluated_last(record: RunRecord, output: Path) -> None:
    made = record.stages[0].output
    score = msgspec.structs.replace(
        record.stages[0], stage="score", op="eval", output=OutputDigest({"data.jsonl": "3" * 64}, made.tree)
    )
    both = msgspec.structs.replace(record, stages=[*record.stages, score])
    assert check_output(both, output).stage == "sft"
    assert check_output(both, output, "score").problems
    assert find_stage(msgspec.structs.replace(record, stages=[score]), None).stage == "score"


def test_the_command_explains_a_run_and_checks_its_outputs(
    record: RunRecord, output: Path, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_bytes(sign_run(record, KEY))
    (tmp_path / "hub.pem").write_bytes(KEY.public.pem)
    known = (tmp_path / "run.json", "--key", tmp_path / "hub.pem")
    done = run(*known, "--outputs", output)
    assert done.exit_code == 0
    for words in (
        f"recipe:  tiny {record.recipe_digest}",
        "stage:   sft (sft): 50 CPU s, 2 files, 2 tensors, sha256:",
        "metric:  pass@1 of sft, replica: 0.5000 (0.1500 to 0.8500) over 4 items",
        "ran by:  worker-1 (hub-worker)",
        "verdict: bit-exact: every tensor is equal, and every file",
        "outputs: all 2 files of stage sft are as recorded",
    ):
        assert words in done.stdout
    assert done.stdout.splitlines()[-1] == "intact, signed by a key that you gave"
    assert run(*known, "--outputs", output, "--stage", "nope").exit_code == 3
    found = json.loads(run(*known, "--outputs", output, "--json").stdout)
    assert found["outputs"] == {"stage": "sft", "match": True, "problems": []}
    (output / "config.json").write_text("{}")
    done = run(*known, "--outputs", output)
    assert done.exit_code == 6
    assert "is not what stage sft made: config.json is 44136fa355b3" in done.stderr
    assert "as recorded" not in done.stdout
    assert run(tmp_path / "run.json", "--outputs", output).exit_code == 6, "also where the key is not known"


def test_outputs_of_a_record_that_is_no_run_cannot_be_checked(output: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_bytes(sign_record(Statement((), "urn:other", {}), KEY))
    done = run(tmp_path / "other.json", "--outputs", output)
    assert done.exit_code == 1
    assert "not about the run of a recipe" in done.stderr
