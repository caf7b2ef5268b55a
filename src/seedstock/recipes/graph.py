"""The graph of a recipe: order, the identity of each stage, what need not run again, and what changed between two.

A stage is known by the digest of its operation, its arguments and the identities of its inputs, down to the pinned
content that the recipe starts from. Equal identities on one platform class mean equal outputs, so an output that is
there already is used; no name, comment or place of publication enters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from seedstock.adapt.stage import Stage
from seedstock.core.errors import Invalid, NotFound
from seedstock.openness.canonical import canonical_json, sha256_of
from seedstock.recipes.recipe import DatasetInput, Input, Recipe, RepoInput

WITHOUT_CHANCE = frozenset({"quantize", "convert"})
"""Operations that no seed changes."""


class Change(msgspec.Struct, frozen=True):
    """One difference between two recipes or two runs; `kind` is `inputs-changed`, `stage-changed` or `setting-changed`."""

    kind: str
    subject: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject} was {self.was}, is {self.now}"


def stage_digest(
    op: str,
    args: Mapping[str, Any],
    inputs: Mapping[str, str],
    *,
    seed: int,
    threads: int,
    device: str,
    dtype: str,
    environment: str = "",
) -> str:
    """The identity of a stage, `sha256:...`; `inputs` are role to digest, `environment` whatever else decides."""
    identity = {
        "op": op,
        "args": dict(args),
        "inputs": dict(inputs),
        "seed": 0 if op in WITHOUT_CHANCE else seed,
        "threads": threads,
        "device": device,
        "dtype": dtype,
        "environment": environment,
    }
    return sha256_of(canonical_json(identity))


def order(recipe: Recipe) -> list[str]:
    """Stages, each after those that it needs; otherwise as they are written."""
    done: dict[str, None] = {}
    while len(done) < len(recipe.stage):
        ready = [name for name in recipe.stage if name not in done and _needs(recipe, name) <= done.keys()]
        if not ready:
            raise Invalid("The stages of the recipe need each other in a circle")
        done[ready[0]] = None
    return list(done)


def stage_digests(recipe: Recipe) -> dict[str, str]:
    """The identity of every stage, in order."""
    found = {name: _input_identity(item) for name, item in recipe.inputs.items()}
    how = recipe.determinism
    for name in order(recipe):
        stage = recipe.stage[name]
        found[name] = stage_digest(
            stage.op,
            resolved_args(recipe, name),
            {role: found[source] for role, source in stage.inputs.items()},
            seed=recipe.seed_of(name),
            threads=how.threads,
            device=how.device,
            dtype=how.dtype,
            environment=_environment(recipe, name),
        )
    return {name: found[name] for name in recipe.stage}


def resolved_args(recipe: Recipe, name: str) -> dict[str, Any]:
    """A stage's arguments with `dtype = "auto"` as the recipe's own."""
    stage = recipe.stage[name]
    return (
        {**stage.args, "dtype": recipe.determinism.dtype} if stage.args.get("dtype") == "auto" else stage.args
    )


def stages_to_run(
    recipe: Recipe, is_there: Callable[[str], bool], wanted: Iterable[str] | None = None
) -> list[str]:
    """What must run, in order, so that the `wanted` stages (None: all that
    nothing else needs or a claim is about) have outputs.

    `is_there` says of an identity whether its output can be had, from a cache or from where it was published; what
    leads only to such a stage is not run.
    """
    targets = _ends(recipe) if wanted is None else list(wanted)
    for name in targets:
        if name not in recipe.stage:
            raise NotFound(f"The recipe has no stage {name[:60]!r}", hint=f"it has {', '.join(recipe.stage)}")
    digests = stage_digests(recipe)
    needed: set[str] = set()
    for name in reversed(order(recipe)):
        is_asked = name in targets or any(name in _needs(recipe, later) for later in needed)
        if is_asked and not is_there(digests[name]):
            needed.add(name)
    return [name for name in order(recipe) if name in needed]


def as_stage(
    recipe: Recipe, name: str, contents: Mapping[str, str], *, memory_bytes: int | None = None
) -> Stage:
    """The stage as `adapt.run_stage` takes it; `contents` are input and stage names to digests of their content."""
    stage = recipe.stage[name]
    return Stage(
        op=stage.op,
        args=resolved_args(recipe, name),
        inputs={role: contents[source] for role, source in stage.inputs.items()},
        seed=recipe.seed_of(name),
        threads=recipe.determinism.threads,
        device=recipe.determinism.device,
        memory_bytes=recipe.budget.memory_mb << 20 if memory_bytes is None else memory_bytes,
    )


def changes(old: Recipe, new: Recipe) -> list[Change]:
    """What a run of `new` does otherwise than a run of `old`, inputs first."""
    found = changed_inputs(old.inputs, new.inputs)
    for name in dict.fromkeys([*old.stage, *new.stage]):
        was, now = (_stage_facts(recipe, name) for recipe in (old, new))
        found += _differences("stage-changed", f"stage {name}", was, now)
    for part in ("determinism", "env", "verifier"):
        was, now = (_flat(msgspec.to_builtins(getattr(recipe, part))) for recipe in (old, new))
        found += _differences("setting-changed", part, was, now)
    return found


def changed_inputs(old: Mapping[str, Input], new: Mapping[str, Input]) -> list[Change]:
    """Inputs that are not what they were: `inputs-changed: dataset cold was commit A, is commit B`."""
    found = []
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            kind = _kind(was or now)
            states = ["absent" if item is None else "there" for item in (was, now)]
            found.append(Change("inputs-changed", f"{kind} {name}", *states))
        elif was != now:
            found.append(Change("inputs-changed", f"{_kind(now)} {name}", *_input_states(was, now)))
    return found


def _input_states(was: Input, now: Input) -> tuple[str, str]:
    """How two inputs that differ are told apart, by the first of what differs."""
    if type(was) is not type(now):
        return _kind(was), _kind(now)
    if isinstance(was, RepoInput) and isinstance(now, RepoInput):
        if was.ref != now.ref:
            return f"{was.ref} at {was.revision[:12]}", f"{now.ref} at {now.revision[:12]}"
        if was.revision != now.revision:
            return f"commit {was.revision[:12]}", f"commit {now.revision[:12]}"
    if was.digest != now.digest:
        return f"content {was.digest[7:19]}", f"content {now.digest[7:19]}"
    facts = _differences("", "", _flat(msgspec.to_builtins(was)), _flat(msgspec.to_builtins(now)))
    return f"{facts[0].subject.strip()} {facts[0].was}", facts[0].now


def _kind(item: Input | None) -> str:
    return str(msgspec.to_builtins(item)["kind"])


def _input_identity(item: Input) -> str:
    """Of pinned content; where only some of it is looked at, that counts too."""
    if isinstance(item, DatasetInput) and item.files:
        return sha256_of(canonical_json({"content": item.digest, "files": item.files}))
    return item.digest


def _environment(recipe: Recipe, name: str) -> str:
    """The lock file, and where answers are checked what checks them."""
    stage = recipe.stage[name]
    checks = recipe.verifier is not None and "rewards" in stage.args
    parts = {
        "lock": recipe.env.sha256,
        "verifier": msgspec.to_builtins(recipe.verifier) if checks else None,
        "deterministic": recipe.determinism.deterministic_algorithms,
        "cublas_workspace": recipe.determinism.cublas_workspace,
        "tf32": recipe.determinism.tf32,
    }
    return canonical_json(parts).decode()


def _needs(recipe: Recipe, name: str) -> set[str]:
    return {source for source in recipe.stage[name].inputs.values() if source in recipe.stage}


def _ends(recipe: Recipe) -> list[str]:
    """Stages that no other stage needs, and those that a claim is about."""
    used = {source for name in recipe.stage for source in _needs(recipe, name)}
    claimed = {claim.stage for claim in recipe.claim}
    return [name for name in recipe.stage if name in claimed or name not in used]


def _stage_facts(recipe: Recipe, name: str) -> dict[str, str] | None:
    stage = recipe.stage.get(name)
    if stage is None:
        return None
    facts = {
        "op": stage.op,
        "inputs": stage.inputs,
        **resolved_args(recipe, name),
        "seed": recipe.seed_of(name),
    }
    return _flat(facts)


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Leaves by dotted key, each as short text."""
    if isinstance(value, dict):
        return {
            key: text
            for name, inner in value.items()
            for key, text in _flat(inner, f"{prefix}.{name}").items()
        }
    return {prefix.removeprefix("."): msgspec.json.encode(value).decode()[:100]}


def _differences(
    kind: str, subject: str, was: dict[str, str] | None, now: dict[str, str] | None
) -> list[Change]:
    if was is None or now is None:
        states = ["absent" if facts is None else "there" for facts in (was, now)]
        return [Change(kind, subject, *states)] if was is not now else []
    return [
        Change(kind, f"{subject} {key}", was.get(key, "absent"), now.get(key, "absent"))
        for key in dict.fromkeys([*was, *now])
        if was.get(key) != now.get(key)
    ]
