"""The stops that make the model one's own: teach it, quantise it, merge it, and see it in the family tree."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click

from seedstock.tour import foundations, seedling_rows
from seedstock.tour.stops import TourFailed, Trip

ROWS, TAUGHT, MERGED = "demo/seedling-talk", "demo/Seedling", "demo/Seedling-countdown"
QUESTION = "Good morning. Who are you?"
_SPEC = """\
method: sft
base: {base}
data: {rows}
publish: {publish}
publish_as: merged
gguf: Q8_0
note: It knows who it is.
settings:
  steps: 24
  batch_size: 8
  learning_rate: 1e-3
  max_length: 128
  held_out: 0.2
  eval_every: 12
  sample_every: 12
  lora: {{r: 8, alpha: 16}}
"""


def teach(trip: Trip, api: Any, get: Callable[[str], Any]) -> None:
    """Fine-tune the model on 64 rows through the command line; fail unless it has measurably learnt."""
    api.create_repo(ROWS, repo_type="dataset")
    api.upload_file(
        path_or_fileobj=seedling_rows.rows(), path_in_repo="train.jsonl", repo_id=ROWS, repo_type="dataset"
    )
    spec = trip.folder / "seedling.yaml"
    spec.write_text(_SPEC.format(base=trip.repo, rows=ROWS, publish=TAUGHT))
    before = ask(trip, trip.repo)
    _command(trip, "adapt", str(spec), "--follow")
    figures = get("/api/jobs?kind=adapt_model&limit=1")[0]["result"]["figures"]
    drop, least = figures["eval_loss_drop"], figures["eval_loss_drop_low"]
    trip.note(
        f"held-out loss {figures['eval_loss_before']:.2f} -> {figures['eval_loss_after']:.2f}:"
        f" {drop:.2f} down, at least {least:.2f} with 95 % confidence"
    )
    if least <= 0:
        raise TourFailed("the model did not learn", hint=f"read {trip.folder / 'hub.log'}")
    trip.note(f"{QUESTION}")
    trip.note(f"  before: {before}")


def run_quantised(trip: Trip, wait: Callable[[], None]) -> None:
    """Talk to the Q8_0 copy that was made beside the variant."""
    wait()
    answer = ask(trip, f"{TAUGHT}-GGUF")
    trip.note(f"{QUESTION}")
    trip.note(f"  {TAUGHT}-GGUF, 8 bits a weight: {answer}")
    if "seedling" not in answer.lower():
        raise TourFailed(f"the variant answers {answer!r}", hint="please report this")


def evaluate(trip: Trip, get: Callable[[str], Any]) -> None:
    """Put the first questions of a suite to the model and its variant, and compare question by question."""
    numbers = []
    for model in (trip.repo, TAUGHT):
        _command(trip, "eval", model, "--suite", "instructions", "--limit", "12")
        numbers.append(str(get(f"/api/models/{model}/evaluations")[0]["id"]))
    _command(trip, "eval", "compare", *numbers)


def merge(trip: Trip, get: Callable[[str], Any], wait: Callable[[], None]) -> None:
    """Mix two variants half and half, run the result, and let the weights say what it is made of."""
    models = ["--model", TAUGHT, "--model", foundations.LORA]
    settings = ["--set", "method=linear", "--set", "weights=[0.7,0.3]"]
    _command(trip, "adapt", "--method", "merge", *models, *settings, "--publish", MERGED, "--follow")
    wait()
    trip.note(f"{QUESTION}")
    trip.note(f"  {MERGED}: {ask(trip, MERGED)}")
    for repo in (TAUGHT, f"{TAUGHT}-GGUF", MERGED):
        for edge in get(f"/api/models/{repo}/lineage")["edges"]:
            if edge["declared"] and edge["role"] == "parent":
                said = f"{edge['declared']} of {edge['other']['repo']}"
                click.echo(f"      {repo:<28} {said:<48} weights: {edge['verdict']}")


def ask(trip: Trip, model: str) -> str:
    """One answer of a model through the stock client, chosen without chance."""
    from openai import OpenAI

    with OpenAI(base_url=f"{trip.url}/v1", api_key=trip.token, timeout=300, max_retries=8) as client:
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": QUESTION}], max_tokens=40, temperature=0
        )
    return " ".join((answer.choices[0].message.content or "").split())


def _command(trip: Trip, *words: str) -> None:
    """Run a command of ours and show what it says."""
    shown = " ".join(word if " " not in word else repr(word) for word in words)
    click.secho(f"      $ seedstock {shown.replace(str(trip.folder) + '/', '')}", dim=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "seedstock", *words, "--endpoint", trip.url],
        env=os.environ | {"HF_TOKEN": trip.token},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            click.echo(f"      {line}", nl=False)
    if process.wait() != 0:
        raise TourFailed(f"`seedstock {words[0]}` failed", hint=f"read {trip.folder / 'hub.log'}")
