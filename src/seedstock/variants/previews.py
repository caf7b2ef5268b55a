"""What a variant would train on and take, looked at before it is asked for: rows as the base sees them, memory, time."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.estimate import Estimate, Lengths, estimate
from seedstock.adapt.machine import Machine, cuda_machine, this_machine
from seedstock.adapt.methods import Merge, Method, Training
from seedstock.adapt.model_size import ModelSize, read_config, size_from_headers, size_of_architecture
from seedstock.adapt.preview import Preview
from seedstock.adapt.preview_process import Order, preview_isolated
from seedstock.core.errors import Invalid, UnsupportedFormat
from seedstock.core.viewer import Viewer
from seedstock.hub.metadata import ContentReader
from seedstock.metadata.gguf_header import read_gguf_header
from seedstock.metadata.source import LocalFile, RangeReader
from seedstock.variants.inputs import Materialiser
from seedstock.variants.plan import Input, Plan, PlannedStage, complete_args
from seedstock.weights.checkpoint import open_checkpoint

MAX_FILES = 64
_TEXTS = (
    "config.json tokenizer.json tokenizer_config.json chat_template.jinja special_tokens_map.json"
).split()
_WEIGHTS = (".safetensors", ".gguf")
_CARD_BYTES = 24 << 30
"""Free memory of a card that is not in this machine: that of the smallest which many have."""


class Prospect(msgspec.Struct, frozen=True):
    """What is known of a run before it begins; parts that do not apply are None."""

    preview: Preview | None
    estimate: Estimate | None


class Previews:
    """Looks at pinned datasets and models."""

    def __init__(self, inputs: Materialiser, memory_bytes: int | None) -> None:
        self._inputs = inputs
        self._memory_bytes = memory_bytes

    def look(self, viewer: Viewer, plan: Plan) -> Prospect:
        """Rows, memory and time of the first stage that reads rows. Raises Invalid for what training would refuse."""
        stage = next((stage for stage in plan.stages if stage.op != "merge"), None)
        if stage is None:
            return Prospect(None, None)
        settings: Any = complete_args(stage.op, stage.args)
        with tempfile.TemporaryDirectory(prefix="seedstock-preview-") as folder:
            base = Path(folder, "base")
            self._inputs.place(viewer, _texts_of(_base_of(plan, stage)), base)
            _unpack_template(base)
            found = self._preview(viewer, plan, stage, settings, Path(folder))
            return Prospect(found, self._estimate(plan, stage, settings, found, read_config(base)))

    def _preview(
        self, viewer: Viewer, plan: Plan, stage: PlannedStage, settings: Any, folder: Path
    ) -> Preview:
        rows = settings.rows[0]
        data = plan.inputs[stage.inputs[rows.input]]
        if len(data.files) > MAX_FILES:
            raise Invalid(f"{data.repo} has {len(data.files)} files; a preview reads at most {MAX_FILES}")
        self._inputs.place(viewer, data, folder / "data")
        order = Order(
            data=str(folder / "data"),
            base=str(folder / "base"),
            method=stage.op,
            columns=rows.columns,
            split=rows.split,
            max_length=getattr(settings, "max_length", 1 << 20),
            assistant_only=getattr(settings, "assistant_only_loss", isinstance(settings, Training)),
        )
        return preview_isolated(order)

    def _estimate(
        self, plan: Plan, stage: PlannedStage, settings: Method, rows: Preview, config: dict[str, Any]
    ) -> Estimate | None:
        if isinstance(settings, Merge) or not rows.counted:
            return None
        mean = rows.total_tokens / max(rows.rows, 1)
        lengths = Lengths(rows=rows.rows, mean=max(mean, 1.0), longest=max(rows.longest_tokens, 1))
        try:
            architecture = getattr(settings, "architecture", None)
            base = (
                size_of_architecture(architecture)
                if architecture
                else self._size(_base_of(plan, stage), config)
            )
            teacher = plan.inputs[stage.inputs["teacher"]] if "teacher" in stage.inputs else None
            size = self._size(teacher, {}) if teacher else None
        except UnsupportedFormat:
            return None
        return estimate(settings, base, lengths, self._machine(plan), teacher=size)

    def _size(self, model: Input, config: dict[str, Any]) -> ModelSize:
        readers: dict[str, RangeReader] = {
            path: ContentReader(self._inputs.content, digest)
            for path, digest in model.files.items()
            if path.endswith(_WEIGHTS) and not path.startswith("adapter")
        }
        checkpoint = open_checkpoint(readers)
        try:
            return size_from_headers(checkpoint, config)
        finally:
            checkpoint.close()

    def _machine(self, plan: Plan) -> Machine:
        if plan.device == "cuda":
            return cuda_machine(_CARD_BYTES)
        return this_machine(threads=plan.threads, memory_bytes=self._memory_bytes)


def _base_of(plan: Plan, stage: PlannedStage) -> Input:
    return plan.inputs[stage.inputs.get("base") or stage.inputs["tokenizer"]]


def _texts_of(model: Input) -> Input:
    """A model without its weights, unless a GGUF header is all there is."""
    texts = {path: digest for path, digest in model.files.items() if path in _TEXTS}
    return msgspec.structs.replace(model, files=texts or model.files)


def _unpack_template(base: Path) -> None:
    """Put the chat template and end marks of a GGUF header where those of other models lie."""
    gguf = next(iter(base.glob("*.gguf")), None)
    if gguf is None:
        return
    with closing(LocalFile(gguf)) as file:
        header = read_gguf_header(file)
    if header.chat_template:
        (base / "chat_template.jinja").write_text(header.chat_template)
    marks = {"bos_token": header.bos_token, "eos_token": header.eos_token}
    (base / "tokenizer_config.json").write_bytes(msgspec.json.encode(marks))
