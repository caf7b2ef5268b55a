"""A hub of its own with SmolLM2 on it, for benchmarks of answering."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from huggingface_hub import HfApi
from huggingface_hub.utils import disable_progress_bars

from seedstock.run.client import fetch_status, lease
from seedstock.run.engines.base import Endpoint, ModelFile
from seedstock.settings import load
from tests.bench.lineage.smollm2_family import fetch_gguf
from tests.contract.server import HubProcess

REPO = "ada/bench"
_CACHE = Path(__file__).parents[2] / ".cache" / "smollm2"


class RunHub(msgspec.Struct):
    """The server, and who asks it for what."""

    process: HubProcess
    model: Path
    repo: str = REPO

    @property
    def key(self) -> str:
        """Ada's token."""
        return self.process.tokens["ada"]

    @property
    def api(self) -> HfApi:
        """The stock client, as ada."""
        return HfApi(endpoint=self.process.url, token=self.key)

    @property
    def socket(self) -> Path:
        """Where the supervisor of engines listens."""
        return load({}, data=self.process.data).run_socket

    async def endpoint(self) -> Endpoint:
        """The engine process that the hub asks; the model is loaded by now."""
        (running,) = (await fetch_status(self.socket)).models
        model = ModelFile(running.key, str(self.model), self.model.stat().st_size)
        async with lease(self.socket, model) as endpoint:
            return endpoint

    async def engine_pid(self) -> int:
        """The process of the one model that is loaded."""
        (running,) = (await fetch_status(self.socket)).models
        assert running.pid is not None
        return running.pid


@contextlib.contextmanager
def run_hub(folder: Path) -> Iterator[RunHub]:
    """Publish the model on a hub in that folder."""
    disable_progress_bars()
    process = HubProcess(folder / "data")
    process.people()
    process.start()
    try:
        hub = RunHub(process, fetch_gguf(_CACHE))
        hub.api.create_repo(REPO)
        hub.api.upload_file(path_or_fileobj=hub.model, path_in_repo=hub.model.name, repo_id=REPO)
        process.admin("jobs", "--wait")
        yield hub
    finally:
        process.stop()
