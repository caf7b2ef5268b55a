"""`seedstock eval` against a live hub: the real library asks a tiny model, and the stock client reads what the card says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi, ModelCard

from tests.contract.models import Publish, publish  # noqa: F401 - a fixture
from tests.contract.server import ROOT, HubProcess
from tests.factories.gguf_model import CHATML

CARD = "---\nlicense: mit   # as it is\ntags: [a,  b]\n---\n# Seven\n"


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    pytest.importorskip("inspect_ai")


@pytest.fixture(scope="module")
def seven(hub: HubProcess, publish: Publish) -> str:  # noqa: F811
    """Answers everything with 7."""
    name = publish("seven", chat_template=CHATML, script=("Answer", ":", " 7"))
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.upload_file(path_or_fileobj=CARD.encode(), path_in_repo="README.md", repo_id=name)
    return name


def start(hub: HubProcess, *words: str, who: str = "ada") -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_TOKEN": hub.tokens[who]}
    command = [sys.executable, "-m", "seedstock", "eval", *words, "--endpoint", hub.url]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(hub: HubProcess, *words: str, who: str = "ada", code: int = 0) -> tuple[str, str]:
    process = start(hub, *words, who=who)
    out, error = process.communicate(timeout=300)
    assert process.returncode == code, out + error
    return out, error


def result_of(hub: HubProcess, *words: str, who: str = "ada") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(hub, *words, "--json", who=who)[0])["result"]
    return found


def test_a_result_is_filed_with_its_samples_and_read_from_the_card(
    hub: HubProcess, http: httpx.Client, seven: str
) -> None:
    found = result_of(hub, seven, "--suite", "arithmetic", "--limit", "40", "--write-card")
    log = http.get(f"/api/models/{seven}/evaluations/{found['id']}/samples")
    samples = [json.loads(line) for line in log.text.splitlines()]
    right = [sample for sample in samples if sample["target"] == "7"]
    assert len(samples) == 40
    assert all(sample["answer"] == "Answer: 7" for sample in samples)
    assert 0 < len(right) == sum(sample["score"] for sample in samples)
    assert found["score"] == len(right) / 40
    assert found["interval"]["low"] < found["score"] < found["interval"]["high"]
    assert found["groups"]["level 1"]["n"] == 8
    assert found["settings"]["temperature"] == 0
    assert found["library"].startswith("inspect-ai ")

    text = http.get(f"/{seven}/resolve/main/README.md").text
    assert text.startswith("---\nlicense: mit   # as it is\ntags: [a,  b]\n")
    assert text.endswith("---\n# Seven\n")
    (read,) = ModelCard(text).data.eval_results or []
    assert read.dataset_type == "seedstock-arithmetic"
    assert read.metric_type == "accuracy"
    assert read.metric_value == round(found["score"], 6)
    assert read.metric_args["commit"] == found["commit"]
    assert read.source_url == f"{hub.url}/{seven}/evaluation?result={found['id']}"
    info = HfApi(endpoint=hub.url, token=hub.tokens["ada"]).model_info(seven)
    assert info.card_data is not None
    assert [one.metric_value for one in info.card_data.eval_results or []] == [read.metric_value]


def test_two_models_are_compared_and_ranked(hub: HubProcess, seven: str, publish: Publish) -> None:  # noqa: F811
    other = publish("eight", chat_template=CHATML, script=("Answer", ":", " 8"))
    one = result_of(hub, seven, "--suite", "arithmetic", "--limit", "30", "--seed", "4")
    two = result_of(hub, other, "--suite", "arithmetic", "--limit", "30", "--seed", "4", who="bob")
    out, _ = run(hub, "compare", str(one["id"]), str(two["id"]))
    assert "difference" in out
    found = json.loads(run(hub, "compare", str(one["id"]), str(two["id"]), "--json")[0])
    assert found["low"] <= found["difference"] <= found["high"]
    board = httpx.get(f"{hub.url}/api/leaderboard?suite=arithmetic").json()["boards"]
    ours = next(one for one in board if one["seed"] == 4)
    assert {line["repo"] for line in ours["models"]} == {seven, other}
    assert ours["models"][0]["place"] == 1
    other_items = result_of(hub, seven, "--suite", "arithmetic", "--limit", "5")
    _, error = run(hub, "compare", str(one["id"]), str(other_items["id"]), code=1)
    assert "different questions" in error
    assert error.count("\n") == 1


def test_rows_of_a_dataset_are_asked(hub: HubProcess, http: httpx.Client, seven: str) -> None:
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.create_repo("ada/numbers", repo_type="dataset", private=True)
    rows = [{"q": f"Which is {n}?", "a": ["7", "seven"] if n % 2 else "8"} for n in range(6)]
    files = {
        "eval.yaml": "prompt: '{q} Only a number.'\nanswer: a\nmetric: contains\nmax_tokens: 8\n",
        "test.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
    }
    for path, text in files.items():
        api.upload_file(
            path_or_fileobj=text.encode(), path_in_repo=path, repo_id="ada/numbers", repo_type="dataset"
        )
    found = result_of(hub, seven, "--suite", "datasets/ada/numbers")
    assert (found["n"], found["score"]) == (6, 0.5)
    assert found["datasetCommit"] == api.dataset_info("ada/numbers").sha
    # Who may not see the dataset sees nothing of the result, and cannot ask either.
    address = f"{hub.url}/api/models/{seven}/evaluations"
    assert all(one["suite"] != "datasets/ada/numbers" for one in httpx.get(address).json())
    assert httpx.get(f"{address}/{found['id']}").status_code == 404
    assert httpx.get(f"{hub.url}/api/leaderboard?suite=datasets/ada/numbers").json()["boards"] == []
    run(hub, seven, "--suite", "datasets/ada/numbers", who="bob", code=3)


def test_refusals_are_one_line(hub: HubProcess, http: httpx.Client, seven: str) -> None:
    http.post("/api/repos/create", json={"name": "ada/hidden", "private": True}).raise_for_status()
    absent = run(hub, "ada/absent", "--suite", "arithmetic", who="bob", code=3)
    hidden = run(hub, "ada/hidden", "--suite", "arithmetic", who="bob", code=3)
    assert absent == hidden
    for words, code in (
        ((seven, "--suite", "nothing"), 3),
        (("ada/hidden", "--suite", "arithmetic"), 3),
        ((f"{seven}:Q9_9", "--suite", "arithmetic"), 1),
        (("seven", "--suite", "arithmetic"), 1),
        ((seven, "--suite", "arithmetic", "--write-card"), 4),
        (("compare", "999999", "999998"), 3),
    ):
        _, error = run(hub, *words, who="ada" if words[0] == "ada/hidden" else "bob", code=code)
        assert [line for line in error.splitlines() if line.startswith("seedstock: ")], error
        assert "Traceback" not in error


def test_an_interrupt_cancels_the_job(hub: HubProcess, http: httpx.Client, seven: str) -> None:
    process = start(hub, seven, "--suite", "arithmetic", "--limit", "10000")
    deadline = time.monotonic() + 120
    job: dict[str, Any] = {}
    while time.monotonic() < deadline and "of 10000 questions" not in str(job.get("progress")):
        job = next(iter(http.get("/api/jobs").json()), {})
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert f"job {job['id']} is cancelled" in error
    while http.get(f"/api/jobs/{job['id']}").json()["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert http.get(f"/api/jobs/{job['id']}").json()["state"] == "cancelled"


def test_what_a_killed_process_had_asked_is_not_asked_again(
    hub: HubProcess, http: httpx.Client, seven: str
) -> None:
    process = start(hub, seven, "--suite", "arithmetic", "--limit", "400", "--seed", "9", "--json")
    deadline = time.monotonic() + 120
    job: dict[str, Any] = {}
    while time.monotonic() < deadline and "of 400 questions" not in str(job.get("progress")):
        job = next(iter(http.get("/api/jobs").json()), {})
        time.sleep(0.1)
    os.kill(hub.find_below("seedstock.evaluation.run_inspect"), signal.SIGKILL)
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    found = json.loads(out)
    log = http.get(f"/api/jobs/{found['job']}/log").json()
    asked = [
        int(word[1])
        for line in log
        if (word := re.search(r"asking \S+ (\d+) of 400", line.get("text") or ""))
    ]
    assert asked[0] == 400
    assert 0 < asked[1] < 400
    assert found["result"]["n"] == 400
    samples = http.get(f"/api/models/{seven}/evaluations/{found['result']['id']}/samples").text.splitlines()
    assert [json.loads(line)["id"] for line in samples] == [f"{n:05d}" for n in range(400)]


def test_the_list_needs_no_model(hub: HubProcess) -> None:
    out, _ = run(hub, "--list")
    assert "arithmetic" in out
    assert "instructions" in out
