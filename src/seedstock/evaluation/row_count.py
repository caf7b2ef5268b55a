"""How much the rows of a dataset would be to read, found in a process of its own: `python -m seedstock.evaluation.row_count`.

Rows come from strangers, and Parquet is read by native code: the kernel sets the limits and takes the crash. Rows are
read one at a time, and nothing of them is kept but how long each question is.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from seedstock.core.errors import HubError, Invalid
from seedstock.evaluation.process import environment
from seedstock.evaluation.task_file import TaskFile, drawn, iter_items

TIMEOUT_S = 60
MEMORY_BYTES = 4 << 30


class Order(msgspec.Struct, frozen=True):
    """What to read, as a job would."""

    task: TaskFile
    folder: str
    seed: int
    limit: int | None


class Count(msgspec.Struct, frozen=True, omit_defaults=True):
    """Questions and the bytes of their texts; or why they cannot be asked."""

    questions: int = 0
    size_bytes: int = 0
    error: str | None = None
    hint: str | None = None


def count_isolated(order: Order, *, timeout_s: int = TIMEOUT_S) -> Count | None:
    """The count; None where it takes too long or too much. Raises Invalid naming a row that cannot be asked."""
    command = [sys.executable, "-m", "seedstock.evaluation.row_count", str(timeout_s)]
    with tempfile.TemporaryDirectory(prefix="seedstock-count-") as home:
        try:
            done = subprocess.run(
                command,
                input=msgspec.json.encode(order),
                capture_output=True,
                timeout=timeout_s,
                check=False,
                env=environment(home),
            )
            found = msgspec.json.decode(done.stdout, type=Count)
        except (subprocess.TimeoutExpired, msgspec.DecodeError):
            return None
    if found.error is not None:
        raise Invalid(found.error, hint=found.hint)
    return found


def count(order: Order) -> Count:
    """The questions that would be asked. Raises Invalid."""
    sizes = [len(item.prompt.encode()) for item in iter_items(order.task, Path(order.folder))]
    chosen = drawn(len(sizes), order.seed, order.limit)
    return Count(len(chosen), sum(sizes[number] for number in chosen))


def main() -> None:
    """Limit this process, read an Order from standard input, write a Count to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1]) + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        found = count(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))
    except HubError as error:
        found = Count(error=error.message, hint=error.hint)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
