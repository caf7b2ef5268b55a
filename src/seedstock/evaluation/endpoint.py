"""Waits until the endpoint answers with a model, so that an evaluation begins with one that is loaded."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import msgspec

from seedstock.core.errors import HubError, Invalid, Unavailable
from seedstock.evaluation.settings import Order

PATIENCE_S = 1800.0
"""A model may have to be made ready first."""
_PAUSE_S = 2.0


def wait_until_ready(order: Order, stopping: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Greet the model, asking as a question does, until it answers; False when it was told to stop.

    Raises Invalid as the endpoint refuses the model or how it is asked, Unavailable when it does not answer for so long.
    """
    deadline_s = time.monotonic() + patience_s
    greeting = [{"role": "user", "content": "Hello"}]
    body: dict[str, object] = {"model": order.model, "messages": greeting, **order.sampling.parameters}
    with httpx.Client(trust_env=False, timeout=httpx.Timeout(30, read=900)) as client:
        while not stopping():
            error = _ask(client, order.url, order.token, body)
            if error is None:
                return True
            if not isinstance(error, Unavailable) or time.monotonic() > deadline_s:
                raise error
            time.sleep(_PAUSE_S)
    return False


def _ask(client: httpx.Client, url: str, token: str, body: dict[str, object]) -> HubError | None:
    headers = {"Authorization": f"Bearer {token}"}
    try:
        answer = client.post(f"{url}/v1/chat/completions", json=body, headers=headers)
    except httpx.HTTPError as error:
        return Unavailable(f"The hub's own endpoint at {url} does not answer: {error}")
    if answer.is_success:
        return None
    try:
        message = str(msgspec.json.decode(answer.content)["error"]["message"])[:500]
    except (msgspec.DecodeError, KeyError, TypeError):
        message = f"The endpoint answered with status {answer.status_code}"
    passing = answer.status_code >= 500 or answer.status_code == 429
    return Unavailable(message) if passing else Invalid(message)
