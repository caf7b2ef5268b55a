"""Code that nobody trusts, judged by its tests: what it cannot reach, use up, or make believe."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seedstock.adapt.methods import Reward
from seedstock.adapt.rewards import registry, sandbox
from seedstock.adapt.rewards.programs import program_of
from seedstock.core.errors import Invalid

MEMORY = 128 << 20


def passes(code: str, *tests: str, timeout_s: float = 20) -> int:
    return sandbox.run_tests(code, list(tests), timeout_s=timeout_s, memory_bytes=MEMORY)


def raises(statement: str, error: str) -> bool:
    """Does the statement raise just this error in the sandbox?"""
    code = f"import os\ntry:\n    {statement}\n    found = 'nothing'\nexcept BaseException as e:\n    found = type(e).__name__"
    return passes(code, f"assert found == {error!r}") == 1


def test_tests_are_counted() -> None:
    code = "def double(n):\n    return 2 * n\nprint('noise' * 100000)"
    assert passes(code, "assert double(2) == 4", "assert double(2) == 5", "assert double('a') == 'aa'") == 2
    assert passes("syntax error", "pass") == 0
    assert passes("import json, math, re, collections, itertools, decimal", "pass") == 1


def test_a_test_cannot_change_what_the_next_one_sees() -> None:
    assert passes("x = 1", "x = 2", "assert x == 1") == 2


def test_leaving_early_or_printing_a_verdict_passes_nothing() -> None:
    for code in (
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "import builtins; builtins.exec = builtins.compile = lambda *a: None",
        "import contextlib; contextlib.suppress = None; __builtins__['AssertionError'] = None",
        "import sys; print('{\"passed\": 9}', flush=True); sys.exit()",
        'import os\nfor fd in range(64):\n  try: os.write(fd, b\'{"secret": "", "passed": 1}\\n\')\n  except OSError: pass',
        'import os\nfor fd in range(64):\n  try: os.write(fd, b\'{"closed": "x"}\\n[[[[\\n\')\n  except OSError: pass',
    ):
        assert passes(code, "assert False") == 0


def test_there_is_no_network() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert raises(f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)", "OSError")


def test_there_are_no_files_but_the_interpreter_s(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the hub")
    assert raises(f"open({str(secret)!r})", "FileNotFoundError")
    assert raises("open('/etc/passwd')", "FileNotFoundError")
    assert raises("open('/proc/1/environ')", "FileNotFoundError")
    assert raises("open(os.__file__, 'a')", "PermissionError")
    assert raises("os.chroot('/tmp')", "PermissionError")
    assert passes("import os; open('mine', 'w').write('x')", "assert os.listdir('.') == ['mine']") == 1
    assert passes("import os", "assert not os.listdir('.')") == 1


def test_the_environment_is_empty_and_privileges_are_gone() -> None:
    code = "import os, ctypes\nunshared = ctypes.CDLL(None).unshare(0x10000000)"
    assert (
        passes(code, "assert set(os.environ) <= {'PYTHONHASHSEED', 'LC_CTYPE'}", "assert unshared == -1") == 2
    )
    if os.geteuid() == 0:
        assert passes("import os", "assert os.geteuid() != 0") == 1


def test_other_processes_are_out_of_reach_and_none_stays() -> None:
    name = os.urandom(6).hex()  # of these processes alone: other tests run sandboxes at the same time
    code = (
        "import ctypes, os, time\n"
        f"ctypes.CDLL(None).prctl(15, b{name!r})\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    time.sleep(60)\n"
        "time.sleep(1)\n"
        f"try: os.kill({os.getpid()}, 0); seen = True\n"
        "except OSError: seen = False"
    )
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.02):
            most = max(most, _named(name))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert passes(code, "assert not seen") == 1
        deadline_s = time.monotonic() + 20
        while _named(name) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert _named(name) == 0
    finally:
        over.set()
        watcher.join()
    assert most == 2


def test_one_program_s_processes_take_none_of_another_s() -> None:
    bomb = "import os, time\ntry:\n    while os.fork() or True: pass\nexcept OSError: time.sleep(30)"
    gentle = "import os\nif os.fork() == 0: os._exit(0)\nos.wait()"
    with ThreadPoolExecutor(1) as pool:
        bombing = pool.submit(passes, bomb, "pass", timeout_s=8)
        time.sleep(1.5)
        assert passes(gentle, "pass") == 1
        assert not bombing.done()
        assert bombing.result() == 0


def _named(name: str) -> int:
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            count += (process / "comm").read_text().strip() == name
    return count


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(100)",
        "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
        "x = 'a' * (1 << 40)",
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "open('big', 'wb').write(b'0' * (4 << 20))",
        "import os\nwhile True: os.write(1, b'x' * 65536)",
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass",
        "def f(): f()\nimport sys; sys.setrecursionlimit(10**9); f()",
    ],
    ids=["spin", "sleep", "fork", "allocate", "grow", "file", "print", "deaf", "recurse"],
)
def test_bombs_pass_nothing_and_end_in_time(code: str) -> None:
    began = time.monotonic()
    assert passes(code, "assert False", timeout_s=1) == 0
    assert time.monotonic() - began < 20


def test_files_are_small_and_few() -> None:
    assert raises("open('big', 'wb').write(b'0' * (4 << 20))", "OSError")
    assert raises("kept = [open('/dev/null') for _ in range(100)]", "FileNotFoundError")
    code = "n = 0\ntry:\n    for n in range(100): open(str(n), 'wb').write(b'0' * (1 << 20))\nexcept OSError: pass"
    assert passes(code, "assert 10 < n < 17") == 1


def test_without_isolation_nothing_runs_unless_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A child that cannot isolate itself says so: here because it may not even read its own library folders.
    child = tmp_path / "child.py"
    child.write_text(
        sandbox._CHILD.read_text().replace(
            "def _isolate(order: dict[str, Any]) -> None:",
            "def _isolate(order: dict[str, Any]) -> None:\n    raise OSError(1, 'unshare')",
        )
    )
    monkeypatch.setattr(sandbox, "_CHILD", child)
    with pytest.raises(sandbox.SandboxClosed, match="unshare"):
        passes("x = 1", "pass")
    assert sandbox.run_tests("x = 1", ["pass"], timeout_s=5, memory_bytes=MEMORY, isolate=False) == 1


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("x = 1", "x = 1"),
        ("<think>```\nno\n```</think>x = 1", "x = 1"),
        ("So:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```\na = 1\n```\nbetter:\n```py\nb = 1\n```", "b = 1\n"),
        ("```python\nx = 1", "```python\nx = 1".rpartition("```")[0]),
    ],
)
def test_the_program_of_a_completion(completion: str, program: str) -> None:
    assert program_of(completion) == program


def test_code_tests_reward() -> None:
    row = {"tests": ["assert f(1) == 1", "assert f(2) == 4"]}
    right = "```python\ndef f(n):\n    return n * n\n```"
    half = "```python\ndef f(n):\n    return n\n```"

    def score(completion: str, row: dict, **args: object) -> float:
        with registry.open_rewards([Reward(fn="code_tests", args=args)]) as rewards:
            return rewards.score("?", completion, row).total

    assert score(right, row) == 1
    assert score(half, row) == 0
    assert score(half, row, share=True) == 0.5
    assert score(right, {"tests": "assert f(3) == 9"}) == 1
    assert score(right, {"tests": []}) == 0
    assert score(right, {}) == 0


def test_a_reward_file_answers_many_questions_and_survives_its_own_faults(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "calls = 0\n"
        "def reward(prompt, completion, row):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    if completion == 'die': import os; os._exit(1)\n"
        "    if completion == 'hang':\n"
        "        while True: pass\n"
        "    if completion == 'network': import socket; socket.create_connection(('127.0.0.1', 9))\n"
        "    return {'nan': float('nan'), 'calls': calls}.get(completion, len(completion) * row['scale'])\n"
    )
    args = {"file": "mine.py", "allowed": True, "timeout_s": 1.0}
    with registry.open_rewards([Reward(fn="python_file", args=args)], tmp_path) as rewards:

        def score(completion: str) -> float:
            return rewards.score("?", completion, {"scale": 0.5}).total

        assert score("four") == 2
        assert score("calls") == 2
        assert [score(text) for text in ("nan", "network", "die", "hang")] == [0, 0, 0, 0]
        assert score("four") == 2
        assert score("é" * 200_000) == 100_000


def test_a_reward_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    (tmp_path / "empty.py").write_text("")
    for name, why in (
        ("broken.py", "nothing_of_that_name"),
        ("empty.py", "KeyError"),
        ("../x.py", "no reward file"),
    ):
        with pytest.raises(Invalid, match=why):
            registry.open_rewards([Reward(fn="python_file", args={"file": name, "allowed": True})], tmp_path)
