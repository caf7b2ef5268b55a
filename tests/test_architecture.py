"""The house rules that a machine can check: who may import whom, and what stays out of the server."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "seedstock"

# Lower layers first. A folder may import folders of lower layers, and those of its own listed here.
LAYERS = [
    {"core"},
    {"store", "db", "xet"},
    {"accounts", "metadata", "content", "jobs", "run", "weights", "convert", "adapt", "usage", "chats"},
    {"hub", "remotes"},
    {"arena", "lineage", "openness", "recipes", "variants", "replications", "evaluation"},
    {"settings", "places", "wiring", "housekeeping", "trace_child", "make_engine_file"},
    {"http", "web", "tour"},
    {"cli"},
]
SIDEWAYS = {
    "accounts": set(),
    "content": {"accounts"},
    "jobs": {"accounts"},
    "chats": {"accounts"},
    "run": {"metadata"},
    "usage": {"accounts"},
    "weights": {"metadata"},
    "convert": {"metadata", "weights"},
    "adapt": {"convert", "metadata", "weights"},
    "openness": {"lineage"},
    "recipes": {"openness"},
    "variants": {"openness", "recipes"},
    "replications": {"lineage", "openness", "recipes", "variants"},
    "evaluation": {"recipes"},
    "store": {"xet"},
    "db": {"xet"},
    "web": {"http"},
    "places": {"settings"},
    "wiring": {"settings", "places"},
    "housekeeping": {"wiring"},
    "trace_child": {"wiring"},
    "make_engine_file": {"wiring"},
}
# `http.app` alone puts the pages among the routes, inside functions; pages need no more of `http` than these.
COMPOSES = {"http/app.py": {"web"}}
PAGES_MAY_USE = {"routing", "call", "errors", "receive", "threads"}
NEVER_FROM_THE_EDGE = {"db", "store"}
# Row types are plain frozen structs that services return; the edge may name them, and nothing else of `db`.
ROW_TYPES = {
    "RepoRow",
    "FileRow",
    "ReplicationRow",
    "CommitRow",
    "RefRow",
    "AccountRow",
    "TokenRow",
    "UsageRow",
    "UsageSums",
    "JobRow",
    "EventRow",
    "PublisherRow",
    "ChatRow",
    "BattleRow",
}
HEAVY = [
    "torch",
    "transformers",
    "tokenizers",
    "llguidance",
    "PIL",
    "pyarrow",
    "trl",
    "peft",
    "datasets",
    "inspect_ai",
    "xllamacpp",
    "numpy.f2py",
    "openai",
    "huggingface_hub",
    "dulwich",
    "alembic",
    "prometheus_client",
]


def _layer(folder: str) -> int:
    return next(index for index, layer in enumerate(LAYERS) if folder in layer)


def _imports(path: Path) -> list[tuple[str, set[str]]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("seedstock"):
            parts = node.module.split(".")
            names = {alias.name for alias in node.names}
            if len(parts) == 1:
                found += [(alias, set()) for alias in names]
            else:
                found.append((parts[1], names if len(parts) > 2 else set()))
    return [(folder, names) for folder, names in found if not folder.startswith("__")]


def _modules_of(path: Path, folder: str) -> set[str]:
    """The modules of one folder that a file imports from."""
    prefix = f"seedstock.{folder}."
    return {
        node.module.removeprefix(prefix).split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(prefix)
    }


def _folder(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


MODULES = sorted(
    path
    for path in SOURCE.rglob("*.py")
    if not {"testing", "migrations"} & set(path.parts) and "__" not in path.name
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_dependencies_point_one_way(path: Path) -> None:
    own = _folder(path)
    for folder, names in _imports(path):
        if folder == own:
            continue
        extra = COMPOSES.get(path.relative_to(SOURCE).as_posix(), set())
        below = _layer(folder) < _layer(own) or folder in SIDEWAYS.get(own, set()) | extra
        assert below, f"{own} may not import {folder}"
        if own in {"http", "web"} and folder in NEVER_FROM_THE_EDGE:
            assert names
            assert names <= ROW_TYPES, f"{own} reaches into {folder} for {names - ROW_TYPES}"
    if own == "web":
        assert _modules_of(path, "http") <= PAGES_MAY_USE


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_sql_stays_in_the_database_folder(path: Path) -> None:
    if _folder(path) in {"db", "settings"}:
        return
    text = path.read_text()
    assert "sa.select(" not in text, "SQL belongs in db/"
    assert "sa.text(" not in text, "SQL belongs in db/"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400, "modules aim for 100 to 250 lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno
            assert length <= 60, f"{node.name} has {length} lines"


@pytest.mark.parametrize(
    "code",
    [
        "import seedstock.http.app",
        "from seedstock.cli.main import cli; cli(['--help'], standalone_mode=False)",
        "import seedstock.adapt.dataset, seedstock.adapt.preview_process, seedstock.adapt.estimate",
    ],
)
def test_server_and_help_load_nothing_heavy(code: str) -> None:
    program = f"{code}\nimport sys\nprint('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
    )
    assert out.stdout.splitlines()[-1] == "LOADED []"
