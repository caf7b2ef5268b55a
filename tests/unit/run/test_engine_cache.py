"""The folder of files made for engines: whole or not there, bounded, each made by one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.run.conftest import SOURCE

from seedstock.core.errors import ModelNotRunnable, Unavailable, UnsupportedFormat
from seedstock.run import engine_cache
from seedstock.run.engine_cache import EngineCache, Made


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines", 1000)


def made(cache: EngineCache, key: str, size_bytes: int = 300) -> Made:
    with cache.lane("models"):
        cache.make("models", key, size_bytes, lambda sink: sink(key.encode().ljust(size_bytes)))
    found = cache.find(key)
    assert found is not None
    return found


def long_ago(cache: EngineCache, *keys: str) -> None:
    """Have the files be used before anything that is in use now, in that order."""
    for at, key in enumerate(keys):
        found = cache.find(key)
        assert found is not None
        then = time.time() - 3600 + at
        os.utime(found.path.with_suffix(".json"), (then, then))


def test_a_file_is_there_once_it_is_whole(cache: EngineCache) -> None:
    assert cache.find("a") is None
    seen: list[Made | None] = []
    with cache.lane("models"), pytest.raises(UnsupportedFormat):

        def fail(sink: object) -> None:
            assert callable(sink)
            sink(b"half")
            seen.append(cache.find("a"))
            raise UnsupportedFormat("no such weights")

        cache.make("models", "a", 300, fail)
    assert (seen, cache.find("a")) == ([None], None)
    found = made(cache, "a")
    assert (found.path.read_bytes().strip(), found.size_bytes) == (b"a", 300)
    assert sorted(path.suffix for path in found.path.parent.glob("a.*")) == [".gguf", ".json"]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "record"])
def test_a_damaged_file_is_not_served(cache: EngineCache, damage: str) -> None:
    path = made(cache, "a").path
    if damage == "cut":
        os.truncate(path, 299)
    elif damage == "changed":
        with path.open("r+b") as file:
            file.write(b"b")
    elif damage == "gone":
        path.unlink()
    else:
        path.with_suffix(".json").write_bytes(b"{}")
    assert cache.find("a") is None
    assert made(cache, "a").path.read_bytes().strip() == b"a"


def test_the_least_recently_used_makes_room(cache: EngineCache) -> None:
    for key in ("a", "b", "c"):
        made(cache, key)
    long_ago(cache, "b", "c", "a")
    made(cache, "d")
    assert [key for key in "abcd" if cache.find(key)] == ["a", "c", "d"]


def test_what_is_in_use_stays_and_the_refusal_has_numbers(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_cache, "SPARE_BYTES", 0)
    for key in ("a", "b", "c"):
        made(cache, key)
    with cache.lane("models"), pytest.raises(Unavailable, match=r"needs .* of disk; .* are free"):
        cache.make("models", "d", 400, lambda sink: sink(b"x"))
    with cache.lane("models"), pytest.raises(Unavailable, match="may be used for such files") as refused:
        cache.make("models", "d", 1001, lambda sink: sink(b"x"))
    assert refused.value.hint == "raise SEEDSTOCK_ENGINE_CACHE_BYTES"
    assert all(cache.find(key) for key in "abc")


def test_a_full_disk_is_a_refusal_with_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = EngineCache(tmp_path, 1 << 62)
    monkeypatch.setattr(engine_cache, "SPARE_BYTES", 1 << 60)
    with cache.lane("models"), pytest.raises(Unavailable, match="needs 5 MB of disk; 0 MB are free"):
        cache.make("models", "a", 5_000_000, lambda sink: sink(b"x"))


def test_failures_are_remembered_for_a_while(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    made(cache, "other")
    cache.note_failure("a", UnsupportedFormat("no such tensor", hint="use others"))
    cache.note_failure("b", Unavailable("the disk is full"))
    failure = cache.find_failure("a")
    assert isinstance(failure, ModelNotRunnable)
    assert (failure.message, failure.hint) == ("no such tensor", "use others")
    assert isinstance(cache.find_failure("b"), Unavailable)
    now_s = time.time()
    monkeypatch.setattr(engine_cache.time, "time", lambda: now_s + 6)
    assert cache.find_failure("b") is None
    assert cache.find_failure("a") is not None
    monkeypatch.setattr(engine_cache.time, "time", lambda: now_s + 61)
    assert cache.find_failure("a") is None
    made(cache, "a")


_MAKER = """
import sys, time
from pathlib import Path
from seedstock.run.engine_cache import EngineCache
cache = EngineCache(Path(sys.argv[1]), 1000)
def fill(sink):
    print("at it", flush=True)
    sink(b"x" * 100)
    time.sleep(float(sys.argv[2]))
    sink(b"x" * 200)
with cache.lane("models"):
    if cache.find("a") is None:
        cache.make("models", "a", 300, fill)
print("done", flush=True)
"""


def _maker(folder: Path, pause_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _MAKER, str(folder), str(pause_s)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": SOURCE}
    )


def test_of_several_processes_one_makes_the_file(tmp_path: Path) -> None:
    makers = [_maker(tmp_path, 0.3) for _ in range(3)]
    said = sorted(maker.communicate(timeout=30)[0] for maker in makers)
    assert said == ["at it\ndone\n", "done\n", "done\n"]


def test_a_killed_maker_leaves_its_turn_and_nothing_else(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, 1000)
    maker = _maker(tmp_path, 60)
    assert maker.stdout is not None
    assert maker.stdout.readline() == "at it\n"
    deadline_s = time.monotonic() + 15
    while (progress := cache.progress("a")) is None:
        assert time.monotonic() < deadline_s
    maker.kill()
    maker.communicate()
    assert progress is not None
    assert (round(progress.fraction, 2), progress.size_bytes) == (0.33, 300)
    assert cache.find("a") is None
    made(cache, "b")
    assert cache.progress("a") is None
    assert not list(tmp_path.glob("a.*"))
