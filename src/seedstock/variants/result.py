"""What is published of a run: the last stage's files beside a card, a recipe, a signed record and the licences' notices."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from seedstock.adapt.spec import AdaptSpec, is_adapter, published_settings, relation
from seedstock.core.errors import Integrity
from seedstock.recipes.recipe import ModelInput, Recipe
from seedstock.variants.card import CardFacts, write_card
from seedstock.variants.execution import StageRun
from seedstock.variants.pedigree import Parent, inherit, notice_files
from seedstock.variants.plan import Plan
from seedstock.variants.publishing import digests_of

RECORD_FILE = "run-record.dsse.json"
RECIPE_FILE = "recipe.toml"


class Records(Protocol):
    """Writes what repeats and what proves a run."""

    def write(self, making: Making, published: Path) -> tuple[bytes, bytes]:
        """`recipe.toml`, which makes the same again, and the signed record of the run, about the published files."""


class Making(msgspec.Struct, frozen=True):
    """A finished run that is about to be published."""

    spec: AdaptSpec
    plan: Plan
    recipe: Recipe
    runs: Sequence[StageRun]
    parents: Sequence[Parent]
    target: str
    job_id: int

    @property
    def adapter(self) -> bool:
        """Whether the result is an adapter."""
        return is_adapter(published_settings(self.spec))


def write_result(making: Making, folder: Path, records: Records) -> dict[str, bytes]:
    """Fill `folder` with the files to publish; the texts that go beside them."""
    published_form(making.recipe, making.runs[-1].name, making.runs[-1].output, folder)
    files = digests_of(folder)
    if not any(path.endswith(".safetensors") for path in files):
        raise Integrity("The run left no weights")
    pedigree = inherit(making.parents, making.target.partition("/")[2])
    base = next((parent for parent in making.parents if parent.role in {"base", "model_0"}), None)
    card = CardFacts(
        name=making.target.partition("/")[2],
        method=making.spec.method,
        plan=making.plan,
        relation=relation(making.spec, published_settings(making.spec)),
        pedigree=pedigree,
        base_card=base.card if base else {},
        results={run.name: run.result for run in making.runs},
        files=list(files),
        adapter=making.adapter,
        note=making.spec.note,
    )
    recipe, record = records.write(making, folder)
    texts = {path: text for path, text in notice_files(making.parents).items() if path not in files}
    return texts | {"README.md": write_card(card).encode(), RECIPE_FILE: recipe, RECORD_FILE: record}


def published_form(recipe: Recipe, stage: str, output: Path, folder: Path) -> None:
    """Fill `folder` with a stage's output as it is published: an adapter's settings name the base that the recipe pins.

    The stage itself knows no repos, so records and replicas are held to this form. Files are second names of the stage's.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(output, folder, copy_function=_link)
    base = recipe.inputs.get(recipe.stage[stage].inputs.get("base", ""))
    path = folder / "adapter_config.json"
    if not isinstance(base, ModelInput) or not path.is_file():
        return
    settings: dict[str, Any] = json.loads(path.read_bytes())
    settings |= {"base_model_name_or_path": base.ref, "revision": base.revision}
    path.unlink()  # it is a second name of the stage's own file
    path.write_text(json.dumps(settings, indent=2) + "\n")


def _link(source: str, target: str) -> str:
    """A second name for a file, or a copy where the disk has none."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
    return target
