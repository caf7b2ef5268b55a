"""Waits until the endpoint answers with a model, so that an evaluation begins with one that is loaded."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import msgspec

from seedstock.core.errors import HubError, Invalid, Unavailable

_PATIENCE_S = 1800.0
_PAUSE_S = 2.0


def wait_until_ready(url: str, token: str, model: str, stopping: Callable[[], bool]) -> bool:
    """Ask for one token until there is one; False when it was told to stop.

    Raises Invalid as the endpoint refuses the model, Unavailable when it is not there for half an hour.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    with httpx.Client(trust_env=False, timeout=httpx.Timeout(30, read=900)) as client:
        while not stopping():
            error = _ask(client, url, token, body)
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
