"""How long until a hub answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

from tests.bench.results import Goal, Plan, Row, Section
from tests.bench.servers import start, stop


def measure(plan: Plan) -> Section:
    """Starts on a fresh folder and on one that has been used."""
    fresh, again, python = list[float](), list[float](), list[float]()
    for number in range(plan.rounds):
        folder = plan.folder / f"startup-{number}"
        for samples in (fresh, again):
            began = time.perf_counter()
            process, _ = start(folder)
            samples.append(time.perf_counter() - began)
            stop(process)
        shutil.rmtree(folder)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        python.append(time.perf_counter() - began)
    return Section(
        "Start-up",
        "From the start of `seedstock serve` to its line `ready on URL`, which it prints when a request was"
        " answered. A fresh folder also gets its database.",
        [
            Row("`python -c pass`", "s", python),
            Row("used folder", "s", again),
            Row("fresh folder", "s", fresh),
        ],
        [
            Goal("ready, used folder", "s", again, at_most=1.5),
            Goal("ready, fresh folder", "s", fresh, at_most=1.5),
        ],
    )
