"""The stop that asks what models are really built on."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click

from seedstock.metadata.source import LocalFile
from seedstock.tour.stops import TourFailed, Trip
from seedstock.weights.checkpoint import open_checkpoint

_CARD = """---
license: apache-2.0
{base}tags:
- tour
---

# {title}

{text}
"""
_LAYERS = 10
LORA, LIAR, SILENT = "demo/SmolLM2-countdown", "demo/own-from-scratch", "demo/pocket-model"


def publish_variants(trip: Trip, api: Any, wait: Callable[[], None]) -> None:
    """Make three variants of the published model and publish them; wait until their weights were compared."""
    from seedstock.tour import variants

    with closing(open_checkpoint({trip.model.name: LocalFile(trip.model)})) as opened:
        source = variants.Source(opened)
        made = (
            (LORA, trip.repo, "a fine-tune that names its base", source.layers, variants.low_rank(source)),
            (LIAR, trip.repo, "a model that claims the same base, and is not built on it", _LAYERS,
             variants.unrelated(source, _LAYERS)),
            (SILENT, None, "a model that says nothing of where it comes from", _LAYERS,
             variants.pruned(source, _LAYERS)),
        )  # fmt: skip
        for repo, base, text, layers, tensors in made:
            folder = trip.folder / repo.split("/")[1]
            folder.mkdir()
            variants.write(folder / "model.safetensors", tensors)
            (folder / "config.json").write_bytes(source.config(layers))
            named = f"base_model: {base}\nbase_model_relation: finetune\n" if base else ""
            card = _CARD.format(base=named, title=repo.split("/")[1], text=text.capitalize() + ".")
            (folder / "README.md").write_text(card)
            api.create_repo(repo)
            api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Publish")
            trip.note(f"{repo}: {text}")
    trip.note("the hub reads and compares the weights ...")
    wait()


def show_lineage(trip: Trip, get: Callable[[str], Any]) -> None:
    """Print what cards say and what the weights say; fail if the hub is wrong."""
    expected = {LORA: ("finetune", "derived"), LIAR: ("finetune", "contradicted"), SILENT: (None, "derived")}
    for repo, (declared, verdict) in expected.items():
        edges = get(f"/api/models/{repo}/lineage")["edges"]
        edge = next((edge for edge in edges if edge["other"]["repo"] == trip.repo), None)
        if edge is None or (edge["declared"], edge["verdict"]) != (declared, verdict):
            raise TourFailed(
                f"{repo} should be {verdict}, the hub says {edge and edge['verdict']}",
                hint="please report this",
            )
        said = f"card: {declared} of {trip.repo.split('/')[1]}" if declared else "card: silent"
        kind = f" ({edge['kind']})" if edge["kind"] else ""
        click.secho(
            f"      {repo:<28} {said:<48} weights: {verdict}{kind}",
            fg="red" if verdict == "contradicted" else None,
        )


def show_report(trip: Trip, get: Callable[[str], Any]) -> None:
    """Print the foundations report and one bill of materials."""
    report = get("/api/foundations")
    trip.note(
        f"{report['derived']} of {report['models']} models are known to be built on another;"
        f" {report['contradicted']} of their cards are contradicted by the weights"
    )
    for root in report["roots"]:
        country = root["country"] or "country not stated"
        trip.note(
            f"  {root['models']} on {root['repo']} ({country}), {root['verified']} verified to the root"
        )
    bom = get(f"/api/models/{LORA}/bom?format=cyclonedx")
    parts = [bom["metadata"]["component"], *bom.get("components", [])]
    trip.note(f"bill of materials of {LORA} (CycloneDX {bom['specVersion']}):")
    for part in parts:
        digests = len(part.get("components", []))
        trip.note(
            f"  {part['type']:<24} {part['name']}" + (f", {digests} files with digests" if digests else "")
        )
    target = trip.folder / "bom.cdx.json"
    target.write_text(json.dumps(bom, indent=1))
