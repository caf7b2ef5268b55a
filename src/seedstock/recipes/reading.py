"""From the text of a `recipe.toml` to a checked `Recipe`: every fault names file, line, column and key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from seedstock.adapt.located import Located, Path, dotted
from seedstock.adapt.methods import METHODS, Eval
from seedstock.core.errors import BadPath
from seedstock.core.names import check_file_path
from seedstock.openness.canonical import canonical_json, sha256_of
from seedstock.recipes.operations import NONE
from seedstock.recipes.recipe import REWARD_FILES, SCHEMA, FileInput, GeneratorInput, Recipe
from seedstock.recipes.references import check_references
from seedstock.recipes.toml_lines import read_toml

PINS = {
    "model": ("revision", "digest"),
    "dataset": ("revision", "digest"),
    "file": ("digest",),
    "generator": ("sha256", "digest"),
}
"""What pins each kind of input."""

_FORMS = {
    "revision": (re.compile(r"[0-9a-f]{40}\Z"), "a commit of 40 hex digits"),
    "digest": (re.compile(r"sha256:[0-9a-f]{64}\Z"), "a digest (sha256: and 64 hex digits)"),
    "sha256": (re.compile(r"[0-9a-f]{64}\Z"), "a SHA-256 of 64 hex digits"),
}
_PIN_HINT = "seedstock recipe pin FILE writes it"
_ONLY = {"deterministic_algorithms": True, "cublas_workspace": ":4096:8", "tf32": False}
"""What `adapt.run_stage` sets: a recipe can say no other."""
_ROWS_KEYS = ("split", "columns")
_ROWS_HINT = "say it where rows are read: in `rows` of a stage's args, in `eval` of a claim"


def read_recipe(text: str | bytes, name: str = "recipe.toml", *, complete: bool = True) -> Recipe:
    """Read and check a recipe. Raises Invalid for the first fault, as `name:line:column: message`.

    Its stages' arguments come back in one form: all that the operation has, numbers as the operation's types want
    them, None for "none". With `complete` false, arguments may be absent that the operation has got since the
    recipe was written; they stay absent, and so its digest stays.
    """
    located = read_toml(text, name).located
    if located.value.get("schema") != SCHEMA:
        raise located.error(("schema",), f'the first key must be schema = "{SCHEMA}"', key=True)
    _check_pins(located)
    recipe = located.convert(Recipe)
    _check_parts(located, recipe)
    check_references(located, recipe)
    stages = {
        name: msgspec.structs.replace(stage, args=_arguments(located, recipe, name, complete=complete))
        for name, stage in recipe.stage.items()
    }
    return msgspec.structs.replace(recipe, stage=stages)


def recipe_digest(recipe: Recipe) -> str:
    """`sha256:` and the digest of the recipe's canonical JSON: equal for equal recipes however they are written."""
    return sha256_of(canonical_json(msgspec.to_builtins(recipe)))


def is_pinned(key: str, value: Any) -> bool:
    """Whether `value` has the form that pins: a whole commit, a whole digest."""
    return isinstance(value, str) and _FORMS[key][0].match(value) is not None


def _check_pins(located: Located) -> None:
    inputs = located.value.get("inputs")
    for name, item in inputs.items() if isinstance(inputs, dict) else ():
        kind = item.get("kind") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(kind, str) or kind not in PINS:
            path: Path = ("inputs", name, "kind")
            raise located.error(path, f"{dotted(path)} must be one of {', '.join(PINS)}")
        for path in (("inputs", name, key) for key in _ROWS_KEYS if key in item):
            raise located.error(path, f"unknown key {dotted(path)}", key=True, hint=_ROWS_HINT)
        for key in PINS[kind]:
            path = ("inputs", name, key)
            if key not in item:
                raise located.error(
                    path, f"{dotted(path)} is missing: the input is not pinned", hint=_PIN_HINT
                )
            if not is_pinned(key, item[key]):
                message = f"{dotted(path)}: {str(item[key])[:50]!r} is not {_FORMS[key][1]}"
                raise located.error(path, message, hint=_PIN_HINT)


def _check_parts(located: Located, recipe: Recipe) -> None:
    """What the types of single keys cannot say."""
    if (recipe.env.lock is None) != (recipe.env.sha256 is None):
        raise located.error(("env",), "env: lock and sha256 belong together", hint=_PIN_HINT)
    verifier = recipe.verifier
    if verifier is not None:
        given = [bool(value) for value in (verifier.name, verifier.version, verifier.file, verifier.sha256)]
        if given not in ([True, True, False, False], [False, False, True, True]):
            raise located.error(("verifier",), "verifier: name and version, or file and sha256")
    how = recipe.determinism
    if (how.device == "cuda") != (how.cublas_workspace is not None and how.tf32 is not None):
        message = 'determinism: cublas_workspace and tf32 belong to device = "cuda", and it needs both'
        raise located.error(("determinism",), message)
    for key, only in _ONLY.items():
        if getattr(how, key) not in (None, only):
            shown = msgspec.json.encode(only).decode()
            message = f"determinism.{key}: stages run with {shown} and nothing else"
            raise located.error(("determinism", key), message)
    files: list[tuple[Path, str]] = [
        (("inputs", name, "file"), item.file)
        for name, item in recipe.inputs.items()
        if isinstance(item, FileInput | GeneratorInput)
    ]
    files += [(("env", "lock"), recipe.env.lock)] if recipe.env.lock else []
    files += [(("verifier", "file"), verifier.file)] if verifier is not None and verifier.file else []
    for path, file in files:
        _check_file(located, path, file)


def _check_file(located: Located, path: Path, file: str) -> None:
    try:
        check_file_path(file)
    except BadPath as error:
        raise located.error(path, f"{dotted(path)}: {error.message}", hint=error.hint) from None


def _arguments(located: Located, recipe: Recipe, name: str, *, complete: bool) -> dict[str, Any]:
    """A stage's arguments, checked against its operation."""
    stage = recipe.stage[name]
    path: Path = ("stage", name, "args")
    args, checked, absent = check_arguments(located, name, stage.op, stage.args)
    if complete and absent:
        where, default = absent[0]
        message = f"{dotted(where)} is missing: a recipe leaves no argument to a default"
        hint = f"today's default is {msgspec.json.encode(default).decode()[:200]}; seedstock recipe pin FILE writes it"
        raise located.error(where, message, hint=hint)
    if stage.op == "script":
        _check_file(located, (*path, "file"), args["file"])
    if isinstance(checked, Eval):
        _check_evaluation(located, ("stage", name, "inputs"), checked, stage.inputs)
    dtype = args.get("dtype")
    if dtype in {"float32", "bfloat16"} and stage.op != "merge" and dtype != recipe.determinism.dtype:
        message = f'{dotted((*path, "dtype"))} is not that of [determinism]; "auto" means that one'
        raise located.error((*path, "dtype"), message)
    found: dict[str, Any] = _written(msgspec.to_builtins(checked), args)
    return found


def _check_evaluation(located: Located, path: Path, args: Eval, inputs: Mapping[str, str]) -> None:
    """That a stage `eval` has what it asks, what it asks about and what judges the answers."""
    files = [REWARD_FILES for reward in args.rewards if reward.fn == "python_file"]
    for role in ("base", *(rows.input for rows in args.rows), *files):
        if role not in inputs:
            raise located.error(path, f"{dotted(path)}: the evaluation needs the input {role}")


def check_arguments(
    located: Located, name: str, op: str, written: dict[str, Any]
) -> tuple[dict[str, Any], msgspec.Struct, list[tuple[Path, Any]]]:
    """The arguments of stage `name` with None for "none"; as the operation's type; and those that are absent,
    as where they belong and their default. Raises Invalid.
    """
    path: Path = ("stage", name, "args")
    kind = METHODS[op]
    optional = {field.name for field in msgspec.structs.fields(kind) if _allows_none(field.type)}
    args = {key: None if key in optional and value == NONE else value for key, value in written.items()}
    document = {"stage": {name: {"args": args}}}
    checked = msgspec.structs.replace(located, value=document).convert(kind, path)
    return args, checked, _missing(checked, args, path)


def _allows_none(kind: Any) -> bool:
    return type(None) in getattr(kind, "__args__", ())


def _missing(checked: Any, written: Any, path: Path) -> list[tuple[Path, Any]]:
    """Arguments that were filled in when `written` was converted to `checked`: where they belong, and the default."""
    found: list[tuple[Path, Any]] = []
    if isinstance(checked, msgspec.Struct) and isinstance(written, dict):
        for field in msgspec.structs.fields(checked):
            value = getattr(checked, field.name)
            if field.encode_name not in written:
                found.append(((*path, field.encode_name), msgspec.to_builtins(value)))
            else:
                found += _missing(value, written[field.encode_name], (*path, field.encode_name))
    elif isinstance(checked, list) and isinstance(written, list):
        for index, (value, raw) in enumerate(zip(checked, written, strict=True)):
            found += _missing(value, raw, (*path, index))
    return found


def _written(checked: Any, written: Any) -> Any:
    """`checked`, less the keys that were not written."""
    if isinstance(checked, dict) and isinstance(written, dict):
        return {key: _written(value, written[key]) for key, value in checked.items() if key in written}
    if isinstance(checked, list) and isinstance(written, list):
        return [_written(value, raw) for value, raw in zip(checked, written, strict=True)]
    return checked
