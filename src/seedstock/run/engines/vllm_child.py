"""One model in vLLM's own server, which another Python runs: the process that the supervisor starts.

vLLM is several processes, and the supervisor ends a child by SIGKILL, after which this one can do nothing. So all of
them are in the process group of a warden, a fork of this process that waits for its end and then kills the group.
The supervisor counts a child as gone when nobody holds its stderr any more, which all of them do.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from seedstock.run.engines import child_guard
from seedstock.run.engines.base import SERVED_MODEL, Ability, Ready

_POLL_S = 0.2
_SIDE = Path(__file__).parent / "vllm_side"
_NOT_PASSED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def main() -> int:
    """Start vLLM, announce its port when it answers, and end when it does."""
    options = _parse_options()
    warden = _start_warden()
    secrets, ready_fd = child_guard.enter(options.parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the supervisor decides
    port = _free_port()
    process = subprocess.Popen(
        [*options.command, "--host=127.0.0.1", f"--port={port}"],
        env=environment(os.environ, options.command[0], secrets.api_key, options.threads),
        stdin=subprocess.DEVNULL,
        stdout=2,
        process_group=warden,
    )
    while process.poll() is None:
        if _answers(port):
            child_guard.announce(ready_fd, Ready(port=port, abilities=_abilities(port, secrets.api_key)))
            return _wait(process.pid, warden)
        time.sleep(_POLL_S)
    if process.returncode > 0:  # else somebody ended it, which says nothing about the model
        child_guard.announce(ready_fd, Ready(error="vLLM could not load this model"))
    return 1


def _wait(vllm: int, warden: int) -> int:
    """Wait for the end of vLLM, or of its warden, without which it must not go on; its exit status."""
    ended, status = os.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(warden, signal.SIGKILL)
    return max(1, os.waitstatus_to_exitcode(status)) if ended == vllm else 1


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="seedstock-vllm")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    parser.add_argument("command", nargs="+", help="after --; the address to listen on is added")
    return parser.parse_args()


def _start_warden() -> int:
    """The process group that ends with this process, however it ends. To be called before there are threads."""
    mine, theirs = os.pipe()
    group = os.fork()
    if group == 0:
        os.setpgid(0, 0)
        os.close(theirs)
        os.close(0)
        os.close(1)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        os.read(mine, 1)  # returns when the other end closes, which only this process's parent holds
        os.killpg(0, signal.SIGKILL)
    os.setpgid(group, group)
    os.close(mine)
    return group


def environment(ours: Mapping[str, str], python: str, api_key: str, threads: int) -> dict[str, str]:
    """What vLLM sees: nothing of this hub's packages, no network, no reports about its use."""
    kept = {name: value for name, value in ours.items() if name not in _NOT_PASSED}
    return kept | {
        "PATH": f"{Path(python).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PYTHONPATH": str(_SIDE),
        "PYTHONSAFEPATH": "1",
        "VLLM_API_KEY": api_key,
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_HOST_IP": "127.0.0.1",  # else its processes speak to each other on the machine's public address
        "GLOO_SOCKET_IFNAME": "lo",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    """Whether vLLM answers at the port: it binds it late, and until then another user's process might."""
    if not _listens_for_us(port):
        return False
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _abilities(port: int, api_key: str) -> tuple[Ability, ...]:
    """Tools, if the model's chat template has a place for them: a chat with one is longer then."""
    tool = {"type": "function", "function": {"name": "probe", "parameters": {"type": "object"}}}
    plain, told = (_count(port, api_key, tools) for tools in ([], [tool]))
    return (Ability.TOOLS,) if plain is not None and told is not None and told > plain else ()


def _count(port: int, api_key: str, tools: Sequence[object]) -> int | None:
    """Tokens of a short chat; None where the template refuses it."""
    body = {
        "model": SERVED_MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": list(tools) or None,
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        connection.request("POST", "/tokenize", msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        found = answer.read()
        return int(msgspec.json.decode(found)["count"]) if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _listens_for_us(port: int) -> bool:
    address, listening = f"0100007F:{port:04X}", "0A"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == address and fields[3] == listening:
            return int(fields[7]) == os.getuid()
    return False


if __name__ == "__main__":
    sys.exit(main())
