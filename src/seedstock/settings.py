"""Settings: the only place that reads the environment."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from seedstock.core.errors import Invalid
from seedstock.core.limits import INHERITED, LimitKind, Limits
from seedstock.db.engine import default_url, normalise_url

DEFAULT_PORT = 8300
_SOCKET_PATH_BYTES = 80  # the system allows 107, and a fresh socket has a longer name at first


class Settings(msgspec.Struct, frozen=True):
    """How one hub runs. Every option of `seedstock serve` and every `SEEDSTOCK_…` variable ends up here."""

    data_dir: Path
    database_url: str
    store_url: str
    """`file:<folder>` or a URL that obstore knows."""
    public_url: str | None = None
    """How clients reach the hub; None: taken from each request."""
    internal_url: str | None = None
    """How a job worker reaches the hub; None: at the host and port here."""
    secret_key: str | None = None
    """Shared by the servers of one hub; None: `secret.key` in the data folder."""
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    workers: int = 1
    engine_memory_bytes: int | None = None
    """Memory that loaded models may take in all; None: half of the machine's."""
    engine_idle_s: float = 300.0
    engine_threads: int | None = None
    vllm: Path | None = None
    """The Python that vLLM is installed for; None: safetensors models run without it."""
    launcher: str = "local"
    """Where training runs: `local`, or the address of a Ray cluster as `ray://host:10001`."""
    adapt_memory_bytes: int | None = None
    """Memory that a job which trains or merges may take; None: four fifths of the machine's."""
    engine_cache_bytes: int = 64 << 30
    """Disk that files made for engines may take in all; the least recently used are removed first."""
    kept_bytes: int = 32 << 30
    """Disk that checkpoints kept for spot checks may take in all; the oldest are removed first. 0: none are kept."""
    slow_lanes: int = 1
    """Analyses and conversions that a worker runs at a time."""
    training_lanes: int = 1
    jobs_running_per_account: int = 2
    """In each kind of lane, over all workers."""
    jobs_queued_per_account: int = 20
    remotes: bool = True
    """Whether models that run elsewhere may be used at all."""
    remote_timeout_s: float = 600.0
    """How long a remote model may say nothing."""
    limits: Limits = INHERITED
    """What every account may ask of the models, unless an admin says otherwise."""
    metrics_token: str | None = None
    """Who sends it as a bearer token may read `/metrics`; None: only this machine and admins."""
    cas_generation: str = "g1"
    """Part of the Xet address; change it after a restore, so that clients drop what they remember."""

    @property
    def engine_memory_limit_bytes(self) -> int:
        """What loaded models may take in all."""
        return self.engine_memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2

    @property
    def own_url(self) -> str:
        """Where this hub answers its own jobs, without a trailing slash."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared
        return self.internal_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def run_socket(self) -> Path:
        """Where the engine supervisor of this data folder listens."""
        path = self.data_dir / "run" / "engines.sock"
        if len(str(path)) <= _SOCKET_PATH_BYTES:
            return path
        digest = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"seedstock-{os.getuid()}-{digest}" / "engines.sock"


def load(environ: Mapping[str, str] | None = None, **options: object) -> Settings:
    """Settings from options (None: not given) over the environment over the defaults. Raises Invalid."""
    environ = os.environ if environ is None else environ

    def pick(name: str) -> str | None:
        value = options.get(name)
        return str(value) if value is not None else environ.get(f"SEEDSTOCK_{name.upper()}") or None

    data_dir = Path(pick("data") or "seedstock-data").expanduser().absolute()
    public_url, internal_url = (
        _url("public_url", pick("public_url")),
        _url("internal_url", pick("internal_url")),
    )
    return Settings(
        data_dir=data_dir,
        database_url=normalise_url(pick("database_url") or default_url(data_dir)),
        store_url=pick("store_url") or f"file:{data_dir / 'store'}",
        public_url=public_url,
        internal_url=internal_url,
        secret_key=pick("secret_key"),
        host=pick("host") or "127.0.0.1",
        port=_number("port", pick("port"), DEFAULT_PORT, most=65535),
        workers=_number("workers", pick("workers"), 1, least=1),
        engine_memory_bytes=_number("engine_memory_bytes", pick("engine_memory_bytes"), 0) or None,
        engine_idle_s=float(_number("engine_idle_s", pick("engine_idle_s"), 300)),
        engine_threads=_number("engine_threads", pick("engine_threads"), 0) or None,
        vllm=_interpreter("vllm", pick("vllm")),
        launcher=_launcher(pick("launcher") or "local"),
        adapt_memory_bytes=_number("adapt_memory_bytes", pick("adapt_memory_bytes"), 0) or None,
        engine_cache_bytes=_number("engine_cache_bytes", pick("engine_cache_bytes"), 64 << 30),
        kept_bytes=_number("kept_bytes", pick("kept_bytes"), 32 << 30),
        slow_lanes=_number("slow_lanes", pick("slow_lanes"), 1, most=64),
        training_lanes=_number("training_lanes", pick("training_lanes"), 1, most=64),
        jobs_running_per_account=_number(
            "jobs_running_per_account", pick("jobs_running_per_account"), 2, least=1
        ),
        jobs_queued_per_account=_number(
            "jobs_queued_per_account", pick("jobs_queued_per_account"), 20, least=1
        ),
        remotes=_switch("remotes", pick("remotes") or "on"),
        remote_timeout_s=float(_number("remote_timeout_s", pick("remote_timeout_s"), 600, least=1)),
        limits=Limits(
            **{
                kind.value: _number(kind.value, pick(kind.value), 0, most=kind.most) or None
                for kind in LimitKind
            }
        ),
        metrics_token=pick("metrics_token"),
        cas_generation=pick("cas_generation") or "g1",
    )


def _url(name: str, text: str | None) -> str | None:
    if text and not text.startswith(("http://", "https://")):
        raise Invalid(f"{name} starts with http:// or https://, unlike {text!r}")
    return text.rstrip("/") if text else None


def _interpreter(name: str, text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text).expanduser().absolute()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise Invalid(f"{name} is the path of a Python that can be run, unlike {text[:200]!r}")
    return path


def _launcher(text: str) -> str:
    if text != "local" and not text.startswith("ray://"):
        raise Invalid(f"launcher is local or ray://host:port, not {text[:80]!r}")
    return text


def _switch(name: str, text: str) -> bool:
    if text not in {"on", "off"}:
        raise Invalid(f"{name} is on or off, not {text[:80]!r}")
    return text == "on"


def _number(name: str, text: str | None, default: int, *, least: int = 0, most: int = 1 << 62) -> int:
    if text is None:
        return default
    try:
        number = int(text)
    except ValueError:
        raise Invalid(f"{name} is a whole number, not {text!r}") from None
    if not least <= number <= most:
        raise Invalid(f"{name} is at least {least}" + (f" and at most {most}" if most < 1 << 62 else ""))
    return number
