"""What a user asks for when making a variant: one document, the same from a YAML file, flags, the form or the API."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from seedstock.adapt.located import Path, dotted
from seedstock.adapt.methods import METHODS, Merge, Sample, Seed, Sft
from seedstock.adapt.yaml_lines import read_yaml
from seedstock.core.errors import Invalid

_REFERENCE = re.compile(r"(?P<repo>[^@\s]+/[^@\s]+?)(?:@(?P<revision>\S+))?\Z")
MAX_MODELS = 16
MAX_DATASETS = 16

Text = Annotated[str, msgspec.Meta(max_length=4000)]
MethodName = Literal["sft", "pretrain", "dpo", "grpo", "distil", "distil_traces", "merge"]


class ModelRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model repo at a revision; in a document also `namespace/name@revision`."""

    repo: str
    revision: str = "main"


class DataRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dataset repo at a revision, and what of it is read; in a document also `namespace/name@revision`."""

    repo: str
    revision: str = "main"
    files: list[str] = []
    """Paths or patterns; empty: the files of `split`, else all."""
    split: str = "train"
    columns: dict[str, str] = {}
    """Role that the method wants to the column that plays it."""


class AdaptSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variant to be made."""

    method: MethodName
    base: ModelRef | None = None
    data: list[DataRef] = []
    models: list[ModelRef] = []
    """For `merge`: what is put together."""
    teacher: ModelRef | None = None
    """For `distil` and `distil_traces`."""
    tokenizer: ModelRef | None = None
    """For `pretrain` from scratch."""
    reward_files: DataRef | None = None
    """For the reward `python_file`: the dataset repo that holds the files. Only an admin may ask for it."""
    settings: dict[str, Any] = {}
    """Of the method; what is left out has the method's default."""
    sampling: dict[str, Any] = {}
    """For `distil_traces`: settings of the stage that asks the teacher."""
    publish: str | None = None
    """Where to: a new model repo, or an existing one of the same lineage; None: yours, named after base and method."""
    publish_as: Literal["auto", "adapter", "merged"] = "auto"
    """Of a low-rank run; auto: the adapter."""
    private: bool | None = None
    gguf: str | None = None
    """Also make a GGUF of this type, such as Q8_0, for engines."""
    note: Text = ""
    """A paragraph for the card."""
    seed: Seed = 0
    threads: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    """Of the training process; 0: one less than the machine has, but at least one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    priority: Literal["low", "normal", "high"] = "normal"
    """Of the job, beside others in its lane; high is for admins."""
    keep_checkpoints: bool = False
    """For a while, so that segments of the training can be run again: spot checks."""


class SpecFault(Invalid):
    """What is wrong with a spec, and at which key."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"The spec is not valid: {message} - at `{dotted(path)}`")
        self.path = path
        self.said = message


def read_spec(document: Any) -> AdaptSpec:
    """A JSON document as a spec. Raises Invalid with the path of what is wrong."""
    full = _normal(document)
    try:
        spec = msgspec.convert(full, AdaptSpec)
    except msgspec.ValidationError as error:
        raise Invalid(f"The spec is not valid: {error}") from None
    _check(spec)
    method_settings(spec)
    return spec


def read_spec_file(text: str | bytes, name: str) -> AdaptSpec:
    """A YAML document as a spec. Raises Invalid as `name:line:column: message`."""
    located = read_yaml(text, name)
    try:
        located = msgspec.structs.replace(located, value=_normal(located.value))
        spec = located.convert(AdaptSpec)
        _check(spec)
    except SpecFault as fault:
        raise located.error(fault.path, fault.said) from None
    if "settings" in located.value:
        located.convert(_settings_type(spec), ("settings",))
    if "sampling" in located.value:
        located.convert(Sample, ("sampling",))
    method_settings(spec)
    return spec


def _normal(document: Any) -> dict[str, Any]:
    """References written out, and lists where one thing was given."""
    if not isinstance(document, dict):
        raise SpecFault((), "a spec is a mapping that begins with `method: ...`")
    full = dict(document)
    for key in ("base", "teacher", "tokenizer", "reward_files"):
        if isinstance(full.get(key), str):
            full[key] = _reference(full[key], (key,))
    for key in ("data", "models"):
        if isinstance(full.get(key), str | dict):
            full[key] = [full[key]]
        if isinstance(full.get(key), list):
            full[key] = [
                _reference(item, (key, number)) if isinstance(item, str) else item
                for number, item in enumerate(full[key])
            ]
    return full


def _reference(text: str, path: Path) -> dict[str, str]:
    match = _REFERENCE.match(text)
    if match is None:
        raise SpecFault(path, f"{text[:100]!r} is no namespace/name[@revision]")
    return {"repo": match["repo"], "revision": match["revision"] or "main"}


def _check(spec: AdaptSpec) -> None:
    """What goes with which method."""
    scratch = spec.method == "pretrain" and spec.settings.get("architecture") is not None
    if spec.method == "merge":
        if not spec.models or len(spec.models) > MAX_MODELS:
            raise SpecFault(("models",), f"a merge names 1 to {MAX_MODELS} models")
    elif spec.models:
        raise SpecFault(("models",), "only a merge takes models")
    elif not spec.data or len(spec.data) > MAX_DATASETS:
        raise SpecFault(("data",), f"{spec.method} needs 1 to {MAX_DATASETS} datasets")
    if spec.base is None and not scratch and spec.method != "merge":
        raise SpecFault(("base",), f"{spec.method} needs a base model")
    if scratch and spec.tokenizer is None:
        raise SpecFault(("tokenizer",), "a model from scratch needs the tokenizer of another")
    wants_teacher = spec.method in {"distil", "distil_traces"}
    if wants_teacher != (spec.teacher is not None):
        raise SpecFault(("teacher",), f"{spec.method} {'needs a' if wants_teacher else 'takes no'} teacher")
    if spec.sampling and spec.method != "distil_traces":
        raise SpecFault(("sampling",), f"{spec.method} takes no sampling settings")
    if spec.keep_checkpoints and spec.method == "merge":
        raise SpecFault(("keep_checkpoints",), "a merge has no checkpoints")


def _settings_type(spec: AdaptSpec) -> type[msgspec.Struct]:
    return Sft if spec.method == "distil_traces" else METHODS[spec.method]


def method_settings(spec: AdaptSpec) -> msgspec.Struct:
    """The method's settings, complete. Raises Invalid."""
    return _convert(spec.settings, _settings_type(spec), "settings")


def published_settings(spec: AdaptSpec) -> msgspec.Struct:
    """The method's settings as they are run: `publish_as` decides whether an adapter is merged. Raises Invalid."""
    settings = method_settings(spec)
    lora = getattr(settings, "lora", None)
    if lora is None or spec.publish_as == "auto":
        return settings
    return msgspec.structs.replace(
        settings, lora=msgspec.structs.replace(lora, merged=spec.publish_as == "merged")
    )


def sampling_settings(spec: AdaptSpec) -> Sample:
    """What the teacher is asked with, complete. Raises Invalid."""
    found = _convert(spec.sampling, Sample, "sampling")
    assert isinstance(found, Sample)
    return found


def _convert(given: dict[str, Any], kind: type[msgspec.Struct], where: str) -> msgspec.Struct:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$", f"`$.{where}")
        if "`$" not in text:
            text += f" - at `$.{where}`"
        raise Invalid(f"The spec is not valid: {text}") from None


def is_adapter(settings: msgspec.Struct) -> bool:
    """Whether what is published is an adapter rather than a whole model."""
    lora = getattr(settings, "lora", None)
    return lora is not None and not lora.merged


def relation(spec: AdaptSpec, settings: msgspec.Struct) -> str | None:
    """`base_model_relation` of the result; None for a model from scratch."""
    if isinstance(settings, Merge):
        return "merge" if settings.method != "lora" else "finetune"
    if spec.base is None:
        return None
    return "adapter" if is_adapter(settings) else "finetune"


def write_spec_file(spec: AdaptSpec) -> str:
    """The YAML document that means the spec, without what has its default."""
    import yaml

    found: dict[str, Any] = {}
    for name, default in zip(spec.__struct_fields__, _defaults(), strict=True):
        value = getattr(spec, name)
        if value != default:
            found[name] = [_short(item) for item in value] if isinstance(value, list) else _short(value)
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True)


def _defaults() -> list[Any]:
    return [
        getattr(AdaptSpec(method="sft"), name) if name != "method" else None
        for name in AdaptSpec.__struct_fields__
    ]


def _short(value: Any) -> Any:
    """A reference in one line where that says it all."""
    if isinstance(value, ModelRef | DataRef):
        if isinstance(value, ModelRef) or (not value.files and not value.columns and value.split == "train"):
            return value.repo if value.revision == "main" else f"{value.repo}@{value.revision}"
        return {key: item for key, item in msgspec.to_builtins(value).items() if item}
    return value
