"""How vLLM is started and ended: its plan, its command line, and the processes, with a small server in its place.

vLLM itself takes gigabytes and a minute to start: `tests/contract/test_vllm_engine.py` runs it where it is installed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.factories.hf_model import safetensors_bytes
from tests.factories.lora import adapter_config, adapter_weights
from tests.factories.tiny_llama import state, write_model
from tests.unit.run.conftest import StartSupervisor, is_alive, until

from seedstock.core.errors import EngineFailed, ModelNotRunnable
from seedstock.run.client import lease
from seedstock.run.engine_process import EngineProcess, start_engine
from seedstock.run.engines.base import SERVED_MODEL, AdapterFile, Dialect, ModelFile
from seedstock.run.engines.vllm_child import environment
from seedstock.run.engines.vllm_engine import Vllm

pytestmark = pytest.mark.anyio
LIMIT = 8 << 30
# In the place of a Python that has vLLM: it answers at the port that it is given, and has a process of its own beside it.
SERVER = f"""#!{sys.executable}
import http.server, json, os, subprocess, sys, time
if "-c" in sys.argv:
    raise SystemExit(0)
options = dict(one.removeprefix("--").split("=", 1) for one in sys.argv[1:] if one.startswith("--") and "=" in one)
if "broken" in options["model"]:
    raise SystemExit("(Core) KeyError: no such architecture\\n" + "  at line\\n" * 60 + "RuntimeError: core failed")
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
sys.path[:0] = os.environ["PYTHONPATH"].split(":")
import seedstock_key
told = {{"argv": sys.argv[1:], "environ": dict(os.environ), "pids": [os.getpid(), worker.pid]}}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            os._exit(3)
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *_):
        pass
http.server.HTTPServer((options["host"], int(options["port"])), Handler).serve_forever()
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    path = tmp_path / "venv" / "bin" / "python"
    path.parent.mkdir(parents=True)
    path.write_text(SERVER)
    path.chmod(0o755)
    return path


def model_in(folder: Path, **more: Any) -> ModelFile:
    more = {"num_attention_heads": 1, "num_key_value_heads": 1} | more
    path = write_model(folder, **more) / "config.json"
    return ModelFile("tiny", str(path), path.stat().st_size, engine="vllm")


async def started(python: Path, model: ModelFile) -> tuple[EngineProcess, dict[str, Any]]:
    engine = Vllm(python, threads=1, gpu=False)
    process = await start_engine(engine, model, engine.plan(model, LIMIT), start_timeout_s=120)
    assert process.endpoint is not None
    return process, await ask(process.endpoint.base_url)


def has_memory(pid: int) -> bool:
    """Whether a process holds any; on its way out it holds none before it is gone."""
    try:
        return Path(f"/proc/{pid}/statm").read_text().split()[0] != "0"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def ask(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as client:
        told: dict[str, Any] = (await client.get(f"{url}/told")).json()
        return told


async def test_a_killed_child_is_gone_when_all_of_its_processes_are(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDSTOCK_SECRET_KEY", "do-not-leak")
    process, told = await started(python, model_in(tmp_path / "model"))
    seen = told["environ"]
    assert process.endpoint is not None
    assert seen["VLLM_API_KEY"] == process.endpoint.api_key
    assert process.endpoint.api_key not in "".join(told["argv"])
    assert {name: seen[name] for name in ("HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK")} == {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    assert "SEEDSTOCK_SECRET_KEY" not in seen
    assert [path.name for path in Path(seen["PYTHONPATH"]).glob("*.py")] == ["seedstock_key.py"]
    assert process.endpoint.dialect is Dialect.VLLM
    process.kill()
    await process.wait()
    assert [pid for pid in told["pids"] if has_memory(pid)] == []


async def test_what_dies_takes_the_rest_with_it(python: Path, tmp_path: Path) -> None:
    process, told = await started(python, model_in(tmp_path / "model"))
    assert process.endpoint is not None
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.HTTPError):
            await client.get(f"{process.endpoint.base_url}/die")
    assert "exit status 3" in await process.wait()
    assert [pid for pid in told["pids"] if has_memory(pid)] == []


async def test_it_does_not_go_on_without_its_warden(python: Path, tmp_path: Path) -> None:
    process, told = await started(python, model_in(tmp_path / "model"))
    warden = os.getpgid(told["pids"][0])
    assert warden not in {process.pid, *told["pids"]}
    os.kill(warden, signal.SIGKILL)
    await process.wait()
    assert [pid for pid in told["pids"] if has_memory(pid)] == []


async def test_nothing_is_left_of_a_supervisor_that_is_killed(
    python: Path, tmp_path: Path, start_supervisor: StartSupervisor
) -> None:
    supervisor = await start_supervisor(
        module="seedstock.run.supervisor", memory_limit_bytes=LIMIT, vllm=python, threads=1
    )
    async with lease(supervisor.socket, model_in(tmp_path / "model"), timeout_s=120) as endpoint:
        told = await ask(endpoint.base_url)
        os.kill(supervisor.process.pid, signal.SIGKILL)
        await until(lambda: not any(map(is_alive, told["pids"])), timeout_s=60)


async def test_a_model_that_it_does_not_load_is_refused_with_its_words(python: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelNotRunnable, match=r"vLLM could not load this model \(KeyError: no such architecture\)"
    ):
        await started(python, model_in(tmp_path / "broken"))


async def test_one_that_is_ended_from_outside_says_nothing_about_the_model(
    python: Path, tmp_path: Path
) -> None:
    python.write_text(SERVER.replace("worker =", "os.kill(os.getpid(), 9); worker ="))
    with pytest.raises(EngineFailed, match="died while loading"):
        await started(python, model_in(tmp_path / "model"))


def test_the_command_line_holds_the_plan(python: Path, tmp_path: Path) -> None:
    engine, model = Vllm(python, threads=1, gpu=False), model_in(tmp_path / "model")
    plan = engine.plan(model, LIMIT)
    command = list(engine.command(model, plan))
    vllm = command[command.index("--") + 1 :]
    assert vllm[:3] == [str(python), "-m", "vllm.entrypoints.openai.api_server"]
    assert {
        f"--model={tmp_path / 'model'}",
        f"--served-model-name={SERVED_MODEL}",
        "--max-model-len=512",
        "--dtype=float32",
        f"--kv-cache-memory-bytes={8 * 512 * 2 * 2 * 32 * 4}",
        "--no-trust-remote-code",
        "--middleware=seedstock_key.Key",
        "--enforce-eager",
    } <= set(vllm)
    assert not any("lora" in one for one in vllm)
    card = Vllm(python, threads=1, gpu=True)
    assert {"--dtype=bfloat16"} <= set(card.command(model, card.plan(model, LIMIT)))
    assert "--enforce-eager" not in card.command(model, card.plan(model, LIMIT))


def test_adapters_are_loaded_by_number_with_room_for_the_largest(python: Path, tmp_path: Path) -> None:
    engine, model = Vllm(python, threads=1, gpu=False), model_in(tmp_path / "model")
    adapters = [adapter_in(tmp_path / name, rank) for name, rank in (("a", 4), ("b", 9))]
    command = list(engine.command(model, engine.plan(model, LIMIT), adapters))
    at = command.index("--lora-modules")
    assert command[at + 1 :] == [f"{SERVED_MODEL}-0={tmp_path / 'a'}", f"{SERVED_MODEL}-1={tmp_path / 'b'}"]
    assert {"--enable-lora", "--max-lora-rank=16", "--max-loras=2"} <= set(command)
    with pytest.raises(ModelNotRunnable, match="rank 600"):
        engine.command(model, engine.plan(model, LIMIT), [adapter_in(tmp_path / "c", 600)])


def adapter_in(folder: Path, rank: int) -> AdapterFile:
    folder.mkdir()
    settings = adapter_config(r=rank)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    path = folder / "adapter_model.safetensors"
    path.write_bytes(safetensors_bytes(adapter_weights(state(), settings, 1), "F32"))
    return AdapterFile(folder.name, str(path), path.stat().st_size)


def test_what_cannot_run_is_refused_before_anything_is_started(python: Path, tmp_path: Path) -> None:
    narrow = model_in(tmp_path / "narrow", num_attention_heads=2, num_key_value_heads=2)
    with pytest.raises(ModelNotRunnable, match="heads narrower than 32"):
        Vllm(python, gpu=False).plan(narrow, LIMIT)
    Vllm(python, gpu=True).plan(narrow, LIMIT)
    with pytest.raises(ModelNotRunnable, match=r"needs about .* GB"):
        Vllm(python, gpu=False).plan(model_in(tmp_path / "model"), 1 << 20)
    other = python.with_name("other")
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    with pytest.raises(ModelNotRunnable, match="vLLM is not installed for"):
        Vllm(other, gpu=False).plan(model_in(tmp_path / "model"), LIMIT)


def test_the_other_python_sees_none_of_ours() -> None:
    seen = environment(
        {"PATH": "/bin", "PYTHONPATH": "/ours", "VIRTUAL_ENV": "/ours", "HOME": "/h"}, "/v/bin/python", "k", 2
    )
    assert (seen["PATH"], seen["HOME"], seen["OMP_NUM_THREADS"]) == ("/v/bin:/bin", "/h", "2")
    assert "VIRTUAL_ENV" not in seen
    assert "/ours" not in seen["PYTHONPATH"]


async def test_no_path_but_health_answers_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "right")
    sys.modules.pop("seedstock.run.engines.vllm_side.seedstock_key", None)
    from seedstock.run.engines.vllm_side.seedstock_key import Key

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"text"})

    transport = httpx.ASGITransport(Key(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
        for path, key, status in [
            ("/health", "", 200),
            ("/invocations", "", 401),
            ("/tokenize", "wrong", 401),
            ("/v1/models", "right", 200),
            ("/health/../invocations", "", 401),
        ]:
            headers = {"authorization": f"Bearer {key}"} if key else {}
            assert (await client.get(path, headers=headers)).status_code == status, path
