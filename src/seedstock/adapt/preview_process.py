"""A preview in a process of its own, for servers: `python -m seedstock.adapt.preview_process`.

Files, templates and tokenizers come from strangers. Jinja's sandbox bounds neither time nor memory, and Parquet and
tokenizer libraries are native code; here the kernel sets the limits and takes the crash.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import msgspec

from seedstock.adapt.dataset import open_dataset
from seedstock.adapt.preview import Preview, preview
from seedstock.core.errors import HubError, Invalid

TIMEOUT_S = 60
MEMORY_BYTES = 4 << 30


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at; folders as absolute paths."""

    data: str
    base: str
    method: str
    files: tuple[str, ...] = ()
    columns: dict[str, str] = {}
    split: str = "train"
    max_length: int = 512
    assistant_only: bool = True
    samples: int = 3


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The preview, or why there is none."""

    preview: Preview | None = None
    error: str | None = None
    hint: str | None = None


def preview_isolated(
    order: Order, *, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES
) -> Preview:
    """Run `preview` under limits. Raises Invalid with what was wrong, or that it took too long or died."""
    command = [
        sys.executable,
        "-m",
        "seedstock.adapt.preview_process",
        str(memory_bytes),
        str(int(timeout_s) + 1),
    ]
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    try:
        done = subprocess.run(
            command,
            input=msgspec.json.encode(order),
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env=os.environ | {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
        )
        answer = msgspec.json.decode(done.stdout, type=Answer)
    except subprocess.TimeoutExpired:
        raise Invalid(
            f"The preview took more than {timeout_s:.0f} s",
            hint="Name fewer files; if they are small, the base's chat template does not end",
        ) from None
    except msgspec.DecodeError:
        raise Invalid(
            "The process of the preview ended without an answer: it needed too much memory, or a file broke it",
            hint="Look at the dataset's files and the base's tokenizer.json",
        ) from None
    if answer.preview is None:
        raise Invalid(answer.error or "There is no preview", hint=answer.hint)
    return answer.preview


def answer(order: Order) -> Answer:
    """The preview or its error, as the parent wants it."""
    try:
        data = open_dataset(
            Path(order.data), files=order.files, columns=order.columns, split=order.split, method=order.method
        )
        return Answer(
            preview=preview(
                data,
                Path(order.base),
                method=order.method,
                max_length=order.max_length,
                assistant_only=order.assistant_only,
                samples=order.samples,
            )
        )
    except HubError as error:
        return Answer(error=error.message, hint=error.hint)
    except MemoryError:
        return Answer(error="The rows or the chat template need too much memory", hint="Use shorter rows")


def main() -> None:
    """Limit this process, read an Order from standard input, write an Answer to standard output."""
    memory, seconds = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(answer(order)))


if __name__ == "__main__":
    main()
