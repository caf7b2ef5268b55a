"""The stops, in order."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from seedstock.tour import foundations, own, side_by_side, smollm2
from seedstock.tour.stops import Stop, TourFailed, Trip

_START_S = 60
_PROMPT = "What is a seed? Answer in one sentence."


def stops(cache: Path) -> list[Stop]:
    """Every stop after the hub is up."""
    return [
        Stop("Create an account and a token", make_account),
        Stop("Get SmolLM2-135M-Instruct, a real open model", lambda trip: smollm2.fetch(trip, cache)),
        Stop("Publish it with the stock huggingface_hub client", publish),
        Stop("Download it again and compare", download),
        Stop("Run it behind the OpenAI-compatible endpoint", chat),
        Stop("Publish three variants: one honest, one lying, one silent", publish_variants),
        Stop("Ask the weights what they are built on", show_lineage),
        Stop("Make it your own: teach it who it is", teach),
        Stop("Run the copy with 8 bits a weight", run_quantised),
        Stop("Keep a chat with it, and share it", side_by_side.chat),
        Stop("Compare it blind with what it was made from", side_by_side.compare),
        Stop("Evaluate both, with intervals", evaluate),
        Stop("Merge it with another variant", merge),
        Stop("What does everything here rest on?", show_report),
    ]


@contextmanager
def running_hub(trip: Trip) -> Iterator[None]:
    """A hub on a free port for the duration of the block, its log in the trip's folder."""
    log = trip.folder / "hub.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*_seedstock(), "serve", "--data", str(trip.folder / "hub"), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,
        )
        # A hub that never gets ready is stopped, which ends the read below.
        watchdog = threading.Timer(_START_S, process.kill)
        watchdog.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        watchdog.cancel()
        try:
            if not line.startswith("ready on "):
                raise TourFailed(f"the hub did not start: {_last_line(log)}", hint=f"read {log}")
            trip.url = line.removeprefix("ready on ").strip()
            yield
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def make_account(trip: Trip) -> None:
    """Use the command line, as an operator would."""
    data = ["--data", str(trip.folder / "hub")]
    _admin(
        "user", "demo", "--full-name", "Demo", "--admin", "--password-stdin", *data, stdin="seedstock-demo\n"
    )
    trip.token = _admin("token", "demo", "--role", "write", "--name", "tour", *data).strip()
    trip.note("user demo, token hf_…" + trip.token[-4:])


def publish(trip: Trip) -> None:
    """Create a repo and upload card and weights."""
    api = _client(trip)
    api.create_repo(trip.repo, exist_ok=True)
    commit = api.upload_folder(
        repo_id=trip.repo, folder_path=trip.model.parent, commit_message="Publish SmolLM2-135M-Instruct"
    )
    trip.note(f"committed {commit.oid[:12]} to {trip.repo}")
    _wait_for_jobs(trip)
    info = api.model_info(trip.repo)
    gguf = info.gguf or {}
    if not gguf.get("total"):
        raise TourFailed("the hub did not read the GGUF header", hint="look at `seedstock admin jobs`")
    trip.note(
        f"header says: {gguf['architecture']}, {gguf['total']:,} parameters, context {gguf['context_length']:,}"
    )


def download(trip: Trip) -> None:
    """Fetch the weights into an empty cache and compare digests."""
    from huggingface_hub import hf_hub_download

    path = hf_hub_download(
        trip.repo, smollm2.FILE_NAME, endpoint=trip.url, token=trip.token, cache_dir=trip.folder / "cache"
    )
    sent, received = smollm2.sha256(trip.model), smollm2.sha256(Path(path))
    if sent != received:
        raise TourFailed(f"downloaded {received}, published {sent}", hint="please report this")
    trip.note(f"sha256 {received[:16]}… matches")


def chat(trip: Trip) -> None:
    """Stream an answer through the stock openai client."""
    from openai import OpenAI

    with OpenAI(base_url=f"{trip.url}/v1", api_key=trip.token, timeout=300) as client:
        click.echo(f"      > {_PROMPT}\n      ", nl=False)
        started, pieces = time.monotonic(), 0
        with client.chat.completions.create(
            model=trip.repo,
            messages=[{"role": "user", "content": _PROMPT}],
            stream=True,
            max_tokens=64,
            temperature=0.2,
            seed=7,
        ) as answer:
            for chunk in answer:
                text = chunk.choices[0].delta.content if chunk.choices else None
                if text:
                    pieces += 1
                    click.echo(text.replace("\n", "\n      "), nl=False)
        click.echo()
    if pieces < 3:
        raise TourFailed("the model gave no answer", hint=f"read {trip.folder / 'hub.log'}")
    trip.note(f"{pieces} tokens in {time.monotonic() - started:.1f} s, loading included")


def publish_variants(trip: Trip) -> None:
    """Make variants of the real model and publish them."""
    foundations.publish_variants(trip, _client(trip), lambda: _wait_for_jobs(trip))


def show_lineage(trip: Trip) -> None:
    """Cards against weights."""
    foundations.show_lineage(trip, lambda path: _get(trip, path))


def teach(trip: Trip) -> None:
    """Fine-tune."""
    own.teach(trip, _client(trip), lambda path: _get(trip, path))


def run_quantised(trip: Trip) -> None:
    """The quantised variant answers."""
    own.run_quantised(trip, lambda: _wait_for_jobs(trip))


def evaluate(trip: Trip) -> None:
    """Ask both the same questions."""
    own.evaluate(trip, lambda path: _get(trip, path))


def merge(trip: Trip) -> None:
    """Merge two variants."""
    own.merge(trip, lambda path: _get(trip, path), lambda: _wait_for_jobs(trip))


def show_report(trip: Trip) -> None:
    """Foundations and a bill of materials."""
    foundations.show_report(trip, lambda path: _get(trip, path))


def _wait_for_jobs(trip: Trip) -> None:
    _admin("jobs", "--wait", "--data", str(trip.folder / "hub"))


def _get(trip: Trip, path: str) -> Any:
    import httpx

    answer = httpx.get(f"{trip.url}{path}", headers={"Authorization": f"Bearer {trip.token}"}, timeout=60)
    if answer.status_code != 200:
        raise TourFailed(f"{path} answered {answer.status_code}: {answer.text[:200]}")
    return answer.json()


def _client(trip: Trip) -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=trip.url, token=trip.token)


def prepare_environment(folder: Path) -> None:
    """Keep the stock clients' caches and settings inside the trip's folder; they read this when imported."""
    os.environ |= {
        "HF_HOME": str(folder / "hf-home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    }


def _seedstock() -> list[str]:
    return [sys.executable, "-m", "seedstock"]


def _admin(*arguments: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        [*_seedstock(), "admin", *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise TourFailed(f"`seedstock admin {arguments[0]}` failed: {done.stderr.strip()}")
    return done.stdout


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
