"""One model in llama.cpp's HTTP server: the process that the supervisor starts, and the only importer of xllamacpp.

Native code that crashes takes this process and nothing else. There is no orderly stop: deleting a
`Server` can hang, it has no close(), and it holds nothing worth saving, so the supervisor kills.
"""

from __future__ import annotations

import argparse
import ctypes
import http.client
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seedstock.run.engines import child_guard
from seedstock.run.engines.base import SERVED_MODEL, Ability, Ready

if TYPE_CHECKING:
    from xllamacpp import CommonParams


class _Props(msgspec.Struct):
    chat_template_caps: dict[str, object] = msgspec.field(default_factory=dict)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BYTES = 1 << 20
_PING_INTERVAL_S = 15  # comment lines keep proxies from cutting a stream during a long prefill


def main() -> None:
    """Load the model, announce the port, and serve until killed."""
    options = _parse_options()
    secrets, ready_fd = child_guard.enter(options.parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the supervisor decides
    error = next(filter(None, map(_problem_with, [options.model, *options.adapter])), "")
    if error:
        child_guard.announce(ready_fd, Ready(error=error))
        return
    if options.adapter:
        _give_memory_back()
    import xllamacpp

    try:
        server = xllamacpp.Server(_params(options, secrets.api_key))
    except RuntimeError:
        # The wheel's message is the same for every cause; the log on stderr has the reason.
        child_guard.announce(ready_fd, Ready(error="llama.cpp could not load this model"))
        os._exit(1)
    port = int(server.listening_address.rpartition(":")[2])
    child_guard.announce(ready_fd, Ready(port=port, abilities=_abilities(port, secrets.api_key)))
    while True:
        signal.pause()


def _give_memory_back() -> None:
    """Have large blocks returned to the system when they are freed.

    llama.cpp plans its graph anew whenever another adapter acts; of what that frees, the allocator kept some 30 MB
    (10 adapters in turn, model of 95 MB: 219 MB instead of 180).
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            libc.mallopt(option, _LARGE_BYTES)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="seedstock-llama-cpp")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--context-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--micro-batch-tokens", type=int, required=True)
    parser.add_argument("--embedding", action="store_true")
    parser.add_argument("--adapter", type=Path, action="append", default=[])
    parser.add_argument("--parent-pid", type=int, required=True)
    return parser.parse_args()


def _problem_with(path: Path) -> str:
    """Why not to hand `path` to native code, or nothing: it reports every bad file alike."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        return f"The model file cannot be read: {error.strerror}"
    return "" if magic == b"GGUF" else "This file is not a GGUF file"


def _abilities(port: int, api_key: str) -> tuple[Ability, ...]:
    """What the chat template has a place for; anything else llama.cpp ignores silently."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/props", headers={"Authorization": f"Bearer {api_key}"})
        props = msgspec.json.decode(connection.getresponse().read(), type=_Props)
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return ()
    finally:
        connection.close()
    return tuple(one for one in Ability if props.chat_template_caps.get(f"supports_{one}") is True)


def _params(options: argparse.Namespace, api_key: str) -> CommonParams:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {SERVED_MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [api_key]
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context_tokens  # the server divides it among the slots
    params.n_ubatch = options.micro_batch_tokens
    params.n_batch = max(params.n_batch, options.micro_batch_tokens)
    params.embedding = options.embedding
    params.fit_params = False  # it would change n_ctx behind the plan's back
    params.cache_ram_mib = 0  # default 8 GiB of saved prompts, which the memory limit would not see
    params.cache_idle_slots = False
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    # No adapter acts but in a request that names it; llama.cpp loads them at the start and never after.
    params.lora_init_without_apply = True
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), 0.0) for path in options.adapter]
    params.ui = False
    params.offline = True
    params.sse_ping_interval = _PING_INTERVAL_S
    params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_DEEPSEEK
    return params


if __name__ == "__main__":
    main()
