from __future__ import annotations

import pytest

from seedstock.core.errors import EngineFailed, ModelNotRunnable
from seedstock.run.failures import STEADY_S, FailureLog


def test_delays_double_from_the_second_failure_to_a_minute() -> None:
    log = FailureLog()
    delays = []
    for _ in range(10):
        log.add("m", EngineFailed("boom"), 0.0)
        delays.append(next(now_s for now_s in range(100) if log.find("m", float(now_s)) is None))
    assert delays == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert log.find("other", 0.0) is None


def test_a_long_good_run_clears_the_record() -> None:
    log = FailureLog()
    for _ in range(5):
        log.add("m", EngineFailed("boom"), 0.0)
    log.add("m", EngineFailed("boom"), 0.0, ran_s=STEADY_S)
    assert log.find("m", 0.0) is None


def test_a_refused_file_is_remembered_with_its_reason() -> None:
    log = FailureLog()
    log.add("m", ModelNotRunnable("bad tensors"), 0.0)
    with pytest.raises(ModelNotRunnable, match="bad tensors"):
        raise log.find("m", 59.0) or AssertionError
    assert log.find("m", 61.0) is None
