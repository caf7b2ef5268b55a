"""Recipes: what is read, and what each fault is told."""

from __future__ import annotations

import pytest

from seedstock.core.errors import Invalid
from seedstock.recipes.reading import read_recipe, recipe_digest
from seedstock.recipes.writing import render_recipe
from tests.unit.recipes.samples import SHORT, pinned

WHOLE = pinned()


def fails(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        read_recipe(text, "r.toml")
    return f"{caught.value.message} ({caught.value.hint})" if caught.value.hint else caught.value.message


def swap(old: str, new: str, text: str = WHOLE) -> str:
    assert text.count(old) == 1, (old, text.count(old))
    return text.replace(old, new)


def line_of(words: str, text: str = WHOLE) -> int:
    return text[: text.index(words)].count("\n") + 1


def test_a_recipe_is_read_with_its_arguments_in_one_form() -> None:
    recipe = read_recipe(WHOLE)
    assert recipe.stage["sft"].args["lora"] is None
    assert recipe.stage["student"].args["lora"]["targets"] == "all-linear"
    assert recipe.stage["grpo"].args["rewards"] == [{"fn": "countdown", "weight": 1.0, "args": {}}]
    assert recipe.seed_of("sft") == 0
    assert recipe.foreign_code == ()
    assert read_recipe(render_recipe(recipe)) == recipe


# `L` is the line of what is swapped.
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('schema = "hub-recipe/1"', 'schema = "hub-recipe/2"', ':L:1: the first key must be schema = "hub-recipe/1"'),
        ("threads = 1", "treads = 1", ":L:1: unknown key determinism.treads (did you mean threads?)"),
        ("threads = 1", "threads = 0", ":L:11: determinism.threads: expected `int` >= 1"),
        ("threads = 1", "", ": determinism.threads is missing"),
        ('device = "cpu"', 'device = "tpu"', ":L:10: determinism.device: invalid enum value 'tpu'"),
        (
            'device = "cpu"',
            'device = "cuda"',
            ': determinism: cublas_workspace and tf32 belong to device = "cuda", and it needs both',
        ),
        ('device = "cpu"', 'device = "cuda"\ncublas_workspace = ":16:8"\ntf32 = false',
         ': determinism.cublas_workspace: stages run with ":4096:8" and nothing else'),
        ('device = "cpu"', 'device = "cuda"\ncublas_workspace = ":4096:8"\ntf32 = true',
         ": determinism.tf32: stages run with false and nothing else"),
        ("deterministic_algorithms = true", "deterministic_algorithms = false",
         ":L:28: determinism.deterministic_algorithms: stages run with true and nothing else"),
        ("memory_mb = 2048", "memory_mb = 2048, gpu_s = 5", ":L:43: unknown key budget.gpu_s (did you mean cpu_s?)"),
        ('data = "cold"', 'data = "cald"', ":L:34: stage.sft.inputs.data: no input and no stage is called 'cald'"
         " (did you mean cold?)"),
        ('data = "cold"', 'data = "small"', ":L:34: stage.sft.inputs.data: small is a model, and data takes a dataset"),
        ('base = "base", data = "cold"', 'base = "student", data = "traces"',
         ": a circle: "),
        ("steps = 80", "steps = -1", ":L:40: stage.sft.args.steps: expected `int` >= 0"),
        ("steps = 80", "stps = 80", ":L:32: unknown key stage.sft.args.stps (did you mean steps?)"),
        ("steps = 80, ", "", ":L:8: stage.sft.args.steps is missing: a recipe leaves no argument to a default"
         " (today's default is 0; seedstock recipe pin FILE writes it)"),
        ("alpha = 32, ", "", ": stage.student.args.lora.alpha is missing: a recipe leaves no argument to a default"
         " (today's default is 32; seedstock recipe pin FILE writes it)"),
        ('op = "grpo"', 'op = "ppo"', ":L:6: stage.grpo.op: 'ppo' is no operation (one of convert, distil, dpo, "
         "eval, grpo, merge, pretrain, quantize, sample, script, sft)"),
        ('kind = "model", ref = "ada/base"', 'kind = "modle", ref = "ada/base"',
         ":L:17: inputs.base.kind must be one of model, dataset, file, generator"),
        ('stage = "student"', 'stage = "studnet"', ": claim[0].stage: no stage is called 'studnet'"),
        ('stage = "student"', 'stage = "traces"', ": claim[0].stage: traces makes a dataset, not a model"),
        ('data = "test"', 'data = "base"', ": claim[0].eval.data: 'base' is no dataset of [inputs]"),
        ("margin = 0.05", "margin = 0.0", ": claim[0].margin: expected `float` > 0.0"),
        ("seeds = 3", "seeds = 1", ": claim[0].seed_sd: one seed has no spread (say how many there were in seeds)"),
        ("value = 0.30", "value = nan", ":L:9: not a finite number"),
        ("value = 0.30", "value = 2026-01-01", ": dates and times are not used here (write it as text, in quotes)"),
        ("value = 0.30", "value = ", ":L:9: Invalid value"),
        ('ref = "ada/cold"', 'columns = { prompt = "q" }', ":L:1: unknown key inputs.cold.columns (say it where rows are read:"
         " in `rows` of a stage's args, in `eval` of a claim)"),
        ('file = "prompts.jsonl"', 'file = "../prompts.jsonl"', ":L:35: inputs.prompts.file: Invalid path: '../prompts.jsonl'"
         " (no empty, '.', '..' or '.git' segments)"),
        ("[stage.student]", "[stage.cold]", ": stage.cold: an input has that name too"),
    ],
)  # fmt: skip
def test_faults_name_line_and_key(old: str, new: str, said: str) -> None:
    message = fails(swap(old, new))
    if said.startswith(": "):
        assert said[2:] in message
        assert message.startswith("r.toml:")
    else:
        assert message == f"r.toml{said.replace('L', str(line_of(old)), 1)}"


def test_what_is_not_pinned_is_refused_with_what_to_do() -> None:
    said = fails(SHORT)
    assert said == (
        "r.toml:16:55: inputs.base.revision: 'main' is not a commit of 40 hex digits"
        " (seedstock recipe pin FILE writes it)"
    )
    without = WHOLE.replace(', digest = "sha256:63a0', ', digests = "sha256:63a0')
    assert fails(without).startswith("r.toml:16:8: inputs.base.digest is missing: the input is not pinned")
    assert "not a digest" in fails(WHOLE.replace('"sha256:63a0', '"sha256:63'))
    unlocked = swap(', sha256 = "a38643f05e5192982fd45580ec9291801c1fd8e1b698c02f412a3f3af33d864e"', "")
    assert fails(unlocked).startswith("r.toml:5:7: env: lock and sha256 belong together")


def test_a_circle_is_spelled_out_at_the_reference_that_closes_it() -> None:
    said = fails(swap('base = "base", data = "cold"', 'base = "student", data = "cold"'))
    where, circle = said.split(": a circle: ")
    names = circle.split(" needs ")
    assert names[0] == names[-1]
    assert set(names) == {"sft", "grpo", "traces", "student"}
    assert where.startswith("r.toml:")
    assert fails(swap('base = "base", data = "cold"', 'base = "sft", data = "cold"')).endswith(
        "33:19: stage.sft.inputs.base: a circle: sft needs sft"
    )


def test_arguments_that_came_later_may_be_absent_from_an_old_recipe() -> None:
    old = swap("steps = 80, ", "")
    recipe = read_recipe(old, complete=False)
    assert "steps" not in recipe.stage["sft"].args
    assert recipe_digest(recipe) == recipe_digest(read_recipe(f"\n# the same\n{old}", complete=False))


def test_code_of_the_author_is_named_because_it_is_trusted_less() -> None:
    digest = "0" * 64
    script = f'[stage.clean]\nop = "script"\ninputs = {{ data = "cold" }}\nargs = {{ file = "a.py", sha256 = "{digest}", args = {{}} }}\n'
    generator = f'[inputs.made]\nkind = "generator"\nfile = "gen.py"\nsha256 = "{digest}"\nargs = {{ max = 9 }}\ndigest = "sha256:{digest}"\n'
    recipe = read_recipe(f"{WHOLE}{script}{generator}")
    assert recipe.foreign_code == ("stage clean", "input made")
    assert "invalid path" in fails(WHOLE + script.replace("a.py", "/a.py")).lower()


def test_a_stages_own_arithmetic_is_that_of_the_recipe() -> None:
    said = fails(WHOLE.replace('dtype = "auto"', 'dtype = "bfloat16"', 1))
    assert said.endswith('stage.sft.args.dtype is not that of [determinism]; "auto" means that one')
    assert read_recipe(WHOLE.replace('dtype = "auto"', 'dtype = "float32"'))


def test_two_stages_are_not_published_in_one_place() -> None:
    said = fails(
        swap(
            'inputs = { base = "sft", prompts = "prompts" }',
            'inputs = { base = "sft", prompts = "prompts" }\npublish = "Ada/tiny-distil"',
        )
    )
    assert said.endswith("stage.student.publish: stage grpo is published there already")
