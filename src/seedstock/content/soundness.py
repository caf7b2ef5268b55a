"""Which files have no sound representation left, so that whoever offers their bytes should send them.

Cheap: stat signatures of local objects are compared, nothing is read. Objects of a remote store are taken
to be sound; the scrub looks at those.
"""

from __future__ import annotations

from collections.abc import Iterable

from seedstock.content.objects import StoredObjects
from seedstock.content.xet_terms import decode_terms
from seedstock.db import xet as rows
from seedstock.db.engine import Database
from seedstock.db.files import FileRow
from seedstock.xet.hashing import hash_to_text


def unsound_files(database: Database, objects: StoredObjects, files: Iterable[FileRow]) -> set[str]:
    """Digests of the files that cannot be trusted to be readable; a constant number of statements."""
    if not objects.are_local:
        return set()
    needs = _objects_needed(database, list(files))
    keys = {key for ways in needs.values() for way in ways for key in way}
    sound = objects.intact_keys(list(keys))
    return {digest for digest, ways in needs.items() if not any(way <= sound for way in ways)}


def _objects_needed(database: Database, files: list[FileRow]) -> dict[str, list[set[str]]]:
    """For each file, the object keys that each of its representations needs."""
    needs: dict[str, list[set[str]]] = {file.digest: [] for file in files}
    for file in files:
        if file.object_key is not None:
            needs[file.digest].append({file.object_key})
    hashes = {file.xet_hash: file.digest for file in files if file.xet_hash is not None}
    if not hashes:
        return needs
    with database.read() as connection:
        found = rows.find_files(connection, list(hashes))
        xorbs = {
            text: {hash_to_text(term.xorb_hash) for term in decode_terms(row.terms)}
            for text, row in found.items()
        }
        keys = rows.object_keys(connection, list(set().union(*xorbs.values())))
    for text, named in xorbs.items():
        # A xorb that is not recorded leaves a key that no store has.
        needs[hashes[text]].append({keys.get(xorb, f"missing/{xorb}") for xorb in named})
    return needs
