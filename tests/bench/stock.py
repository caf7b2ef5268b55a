"""The process of `clients.stock_client`: one upload or download by the stock huggingface_hub, timed."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download


def main() -> None:
    """Arguments: `up` or `down`, repo, local path; the file has the same name in the repo."""
    verb, repo, path = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    began = time.perf_counter()
    if verb == "up":
        HfApi().upload_file(path_or_fileobj=path, path_in_repo=path.name, repo_id=repo)
    else:
        found = Path(hf_hub_download(repo, path.name))
        if found.stat().st_size != path.stat().st_size:
            raise RuntimeError(f"{found} has {found.stat().st_size} bytes")
    print(json.dumps(time.perf_counter() - began))


if __name__ == "__main__":
    main()
