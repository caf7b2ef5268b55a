"""Links of model folders, laid by many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seedstock.hub.model_folders import link_to


def test_many_lay_the_same_link_at_once(tmp_path: Path) -> None:
    targets = [tmp_path / name for name in ("one", "two")]
    for target in targets:
        target.write_text(target.name)
    link = tmp_path / "folder" / "model.safetensors"
    link.parent.mkdir()
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(link_to, link, targets[at % 2]) for at in range(200)]:
            done.result()
    assert link.read_text() in {"one", "two"}
    assert [path.name for path in link.parent.iterdir()] == [link.name]
