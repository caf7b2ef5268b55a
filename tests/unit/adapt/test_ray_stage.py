"""The cluster's side of a stage, without a cluster: what is sent of a folder that its stage is changing."""

from __future__ import annotations

import io
import tarfile

import pytest

from seedstock.adapt import ray_launch
from seedstock.adapt.ray_launch import RemoteStage


def sent(stage: RemoteStage) -> dict[str, bytes]:
    pieces = iter(stage.send, b"")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        files = [member for member in archive if member.isfile()]
        return {member.name: archive.extractfile(member).read() for member in files}  # type: ignore[union-attr]


def test_a_checkpoint_that_is_removed_while_it_is_packed_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = RemoteStage()
    try:
        state = stage._work / "state" / "checkpoint-2"
        state.mkdir(parents=True)
        (state / "weights").write_bytes(b"w" * 3000)
        gone = state / "removed"
        gone.symlink_to(
            stage._work / "nothing"
        )  # as a file that was listed, and is not there when it is opened
        assert not stage.pack("state")
        gone.unlink()
        monkeypatch.setattr(ray_launch, "_PIECE_BYTES", 1000)
        assert stage.pack("state", "output")
        assert sent(stage) == {"state/checkpoint-2/weights": b"w" * 3000}
        assert stage.send() == b""
    finally:
        stage.clear()
