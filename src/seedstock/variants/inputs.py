"""Puts pinned inputs where a stage finds them, checked on the way."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path, PurePosixPath

from seedstock.content.service import Content
from seedstock.core.errors import Conflict, RepoNotFound, RevisionNotFound
from seedstock.core.viewer import Viewer
from seedstock.hub.reading import Reading
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.variants.plan import Input


class Materialiser:
    """Writes the files of inputs into folders: small ones as copies, large ones as links to the verified bytes."""

    def __init__(self, repos: Repos, reading: Reading, content: Content) -> None:
        self._repos = repos
        self._reading = reading
        self.content = content

    def place(self, viewer: Viewer, pinned: Input, folder: Path, top: str = "") -> None:
        """Fill `folder`. Every file is read under the viewer's rights; one that is not as pinned raises Conflict.

        `top` is the folder of the repo that becomes `folder`; all files lie below it.
        """
        ready = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(ready, ignore_errors=True)
        ready.mkdir(parents=True)
        # By its number: it may have another name by now.
        repo = self._repos.by_id(viewer, [pinned.repo_id]).get(pinned.repo_id)
        if repo is None:
            raise RepoNotFound(f"There is no {pinned.kind} {pinned.repo} any more")
        for path, digest in pinned.files.items():
            try:
                found = self._reading.file(viewer, repo_id_of(repo), f"{pinned.commit}/{path}")
            except RevisionNotFound:
                raise Conflict(
                    f"{pinned.repo} no longer has commit {pinned.commit[:12]}", hint="pin another commit"
                ) from None
            target = ready / PurePosixPath(path).relative_to(top)
            target.parent.mkdir(parents=True, exist_ok=True)
            if found.data is not None:
                _check(hashlib.sha256(found.data).hexdigest(), digest, pinned, path)
                target.write_bytes(found.data)
            else:
                assert found.entry.digest is not None
                _check(found.entry.digest, digest, pinned, path)
                target.symlink_to(self.content.materialise(found.entry.digest).absolute())
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)


def _check(seen: str, wanted: str, pinned: Input, path: str) -> None:
    if seen != wanted:
        raise Conflict(f"inputs-changed: {pinned.repo}/{path} was {wanted[:20]}, is {seen[:20]}")
