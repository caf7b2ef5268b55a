"""The process that runs Inspect: `python -m seedstock.evaluation.run_inspect`, started by `process`.

Reads an order and items on standard input; says each judged sample, and at last a result or an error, as JSON lines on
standard output. It holds no database and no right but the token that it is given.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec

from seedstock.evaluation.items import Item, SampleLine
from seedstock.evaluation.scoring import judge
from seedstock.evaluation.settings import Order

_RETRIES = 6
_TIMEOUT_S = 900
_REFUSED = "refused"
_MAX_NAME_CHARS = 200


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """What this process says."""

    sample: SampleLine | None = None
    library: str | None = None
    """Of the last line, when all went well: the library and its version."""
    error: str | None = None


def main() -> int:
    """Ask every item that is given; the exit status is 0 when the last line said so."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    _stay_with(order.url)
    items = [msgspec.json.decode(line, type=Item) for line in sys.stdin.buffer if line.strip()]
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # what the library prints must not mix with what we say
        try:
            _say(out, Line(library=_evaluate(order, items, out)))
        except Exception as error:  # noqa: BLE001 - reported to the job
            _say(out, Line(error=" ".join(f"{type(error).__name__}: {error}".split())[:500]))
            return 1
    return 0


def _stay_with(url: str) -> None:
    """Let this process connect to the hub alone, whatever the library or what it imports would look up elsewhere."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    allowed = {info[4][:2] for info in found}

    def guard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][:2] not in allowed:
            raise PermissionError(f"an evaluation connects to the hub alone, not to {arguments[1][:2]}")

    sys.addaudithook(guard)


def _say(out: IO[bytes], line: Line) -> None:
    out.write(msgspec.json.encode(line) + b"\n")
    out.flush()


def _evaluate(order: Order, items: list[Item], out: IO[bytes]) -> str:
    import inspect_ai
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import GenerateConfig, get_model

    model = get_model(
        f"openai-api/seedstock/{order.model}",
        base_url=f"{order.url}/v1",
        api_key=order.token,
        config=GenerateConfig(
            extra_body=order.sampling.parameters,
            max_connections=order.connections,
            max_retries=_RETRIES,
            timeout=_TIMEOUT_S,
        ),
    )
    task = inspect_ai.Task(
        dataset=MemoryDataset([Sample(input=item.prompt, id=item.id) for item in items]),
        solver=_asker(),
        scorer=_judge({item.id: item for item in items}, out),
        name="evaluation",
    )
    (log,) = inspect_ai.eval(
        task,
        model=model,
        display="none",
        log_level="warning",
        log_dir=order.log_dir,
        log_samples=False,
        log_realtime=False,
        log_model_api=True,
        fail_on_error=True,
        max_samples=2 * order.connections,
    )
    if log.status != "success":
        raise RuntimeError(log.error.message if log.error else f"the evaluation ended as {log.status}")
    return f"inspect-ai {inspect_ai.__version__}"


def _asker() -> Any:
    """Ask once. What the endpoint refuses about one question, such as its length, is an empty answer."""
    from inspect_ai.solver import Generate, TaskState, solver

    @solver
    def ask() -> Any:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            try:
                return await generate(state)
            except Exception as error:
                if getattr(error, "status_code", None) not in {400, 413, 422}:
                    raise
                state.metadata[_REFUSED] = True
                return state

        return solve

    return ask()


def _answered_as() -> str:
    """What the hub says of a model elsewhere beside the answer, which the library takes no notice of."""
    from inspect_ai.event import ModelEvent
    from inspect_ai.log import transcript

    calls = [event.call for event in transcript().events if isinstance(event, ModelEvent)]
    response = calls[-1].response if calls and calls[-1] is not None else None
    return str((response or {}).get("upstream_model") or "")[:_MAX_NAME_CHARS]


def _judge(items: dict[str, Item], out: IO[bytes]) -> Any:
    from inspect_ai.scorer import Score, Target, mean, scorer
    from inspect_ai.solver import TaskState

    @scorer(metrics=[mean()])
    def checks() -> Any:
        async def score(state: TaskState, _target: Target) -> Score:
            item = items[str(state.sample_id)]
            refused = bool(state.metadata.get(_REFUSED))
            answer = "" if refused else state.output.completion.replace("\0", "")
            value, passed = judge(item, answer)
            stop = _REFUSED if refused else str(state.output.stop_reason)
            line = SampleLine(
                item.id, item.prompt, answer, value, passed, item.checks, item.group, item.target, stop,
                _answered_as(),
            )  # fmt: skip
            _say(out, Line(sample=line))
            return Score(value=value)

        return score

    return checks()


if __name__ == "__main__":
    sys.exit(main())
