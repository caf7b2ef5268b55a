"""Whatever byte of a run record or of its outputs is changed, it is seen without a network."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import HubError
from seedstock.recipes.record import RunRecord, sign_run, verify_run
from seedstock.recipes.record_check import check_output
from tests.unit.recipes.records import KEY, record_of, write_output

_FOLDER = tempfile.TemporaryDirectory(prefix="seedstock-outputs-")
_OUTPUT = write_output(Path(_FOLDER.name) / "output")
_RECORD = record_of(_OUTPUT)
_ENVELOPE = sign_run(_RECORD, KEY)


def _verified(envelope: bytes) -> RunRecord | None:
    try:
        return verify_run(envelope, [KEY.public])
    except HubError:
        return None


def test_unchanged_it_verifies() -> None:
    assert _verified(_ENVELOPE) == _RECORD
    assert check_output(_RECORD, _OUTPUT).problems == ()


@given(st.integers(0, len(_ENVELOPE) - 1), st.integers(1, 255))
def test_a_changed_byte_of_the_record_is_detected(place: int, by: int) -> None:
    changed = bytearray(_ENVELOPE)
    changed[place] ^= by
    assert _verified(bytes(changed)) is None


@given(st.integers(0, len(_ENVELOPE)), st.binary(max_size=3), st.integers(0, 3))
def test_bytes_put_in_or_taken_out_are_detected(place: int, new: bytes, lost: int) -> None:
    changed = _ENVELOPE[:place] + new + _ENVELOPE[place + lost :]
    # A final newline is no part of the record.
    assert changed in {_ENVELOPE, _ENVELOPE + b"\n"} or _verified(changed) is None


@given(st.sampled_from(sorted(_RECORD.stages[0].output.files)), st.integers(0, 1 << 20), st.integers(1, 255))
def test_a_changed_byte_of_an_output_is_detected(path: str, place: int, by: int) -> None:
    file = _OUTPUT / path
    original = file.read_bytes()
    changed = bytearray(original)
    changed[place % len(changed)] ^= by
    file.write_bytes(changed)
    try:
        assert check_output(_RECORD, _OUTPUT).problems
    finally:
        file.write_bytes(original)
    assert not check_output(_RECORD, _OUTPUT).problems
