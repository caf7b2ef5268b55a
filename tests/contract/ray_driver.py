"""Runs one stage on a cluster and prints how it ended: `python ray_driver.py ADDRESS WORK [stop-after-checkpoint]`.

Ray's client starts threads and warns as it likes, so it gets a process of its own.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

from seedstock.adapt.launch import StageDied, StageFailed, StageStopped  # noqa: E402
from seedstock.adapt.ray_launch import RayLauncher  # noqa: E402
from seedstock.adapt.stage import Event  # noqa: E402
from seedstock.core.errors import Unavailable  # noqa: E402


def attempts(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """As the queue does: what is unavailable is tried again."""
    for _ in range(2):
        try:
            return run()
        except Unavailable as error:
            if "does not answer" in error.message:
                raise
    return run()


def main() -> None:
    address, work = sys.argv[1], Path(sys.argv[2])
    said: list[Event] = []

    def stopping() -> bool:
        return len(sys.argv) > 3 and any((work / "state").glob("checkpoint-*"))

    try:
        end = {"result": attempts(lambda: RayLauncher(address).run(work, said.append, stopping))}
    except StageFailed as error:
        end = {"failed": error.message, "hint": error.hint}
    except StageStopped:
        end = {"stopped": True}
    except StageDied as error:
        end = {"died": error.message}
    except Unavailable as error:
        end = {"unavailable": error.message}
    logs = [event.log for event in said if event.log]
    print(
        json.dumps(end | {"logs": logs, "metrics": sum(event.metrics is not None for event in said)}),
        flush=True,
    )


if __name__ == "__main__":
    main()
