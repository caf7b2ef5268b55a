"""A hub whose large files lie in S3 behaves like one whose files lie in a folder."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from seedstock.core.errors import CorruptBlock, MissingBlob
from seedstock.settings import Settings
from seedstock.wiring import Hub, open_hub

BUCKET = "models"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3-compatible server on a free port, with an empty bucket."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import boto3
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1"
        )
        client.create_bucket(Bucket=BUCKET)
        yield url
        client.close()
        server.stop()


@pytest.fixture
def hub(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    values = {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_REGION": "us-east-1",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    hub = open_hub(Settings(data_dir=tmp_path, database_url=url, store_url=f"s3://{BUCKET}/{tmp_path.name}"))
    yield hub
    hub.close()


def add(hub: Hub, content: bytes) -> str:
    from seedstock.core.names import RepoId, RepoType
    from seedstock.core.viewer import TokenRole

    hub.accounts.create_user("ada")
    viewer = hub.accounts.viewer_for_token(hub.accounts.create_token("ada", role=TokenRole.WRITE))
    repo = hub.repos.create(viewer, RepoId(RepoType.MODEL, "ada", "m"))
    digest = hashlib.sha256(content).hexdigest()
    with hub.content.staging.open() as staged:
        staged.write(content)
        hub.content.add_whole(repo.id, digest, len(content), staged)
    return digest


@pytest.mark.parametrize("size", [1, 3_000_000, 12_000_001])
def test_files_come_back_whole_and_in_ranges(hub: Hub, size: int) -> None:
    content = os.urandom(size)
    file = hub.content.get(add(hub, content))
    assert hub.content.local_file(file) is None
    assert b"".join(hub.content.open_range(file, 0, size)) == content
    assert b"".join(hub.content.open_range(file, size // 3, size // 2)) == content[size // 3 : size // 2]
    assert list((hub.settings.data_dir / "incoming").iterdir()) == []


def test_an_engine_gets_a_checked_local_copy(hub: Hub) -> None:
    content = os.urandom(2_500_000)
    path = hub.content.materialise(add(hub, content))
    assert path.read_bytes() == content


def test_damage_and_loss_in_the_bucket_are_found(hub: Hub) -> None:
    content = os.urandom(2_500_000)
    file = hub.content.get(add(hub, content))
    store = hub.content.objects._store
    key = str(file.object_key)
    bad = hub.settings.data_dir / "bad"
    bad.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    store.put(key, bad)
    with pytest.raises(CorruptBlock):
        b"".join(hub.content.open_range(file, 0, len(content)))
    store.delete(key)
    with pytest.raises(MissingBlob):
        b"".join(hub.content.open_range(file, 0, len(content)))
