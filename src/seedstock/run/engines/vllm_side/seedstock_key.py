"""The key that vLLM's server asks for: vLLM itself asks for none at some of its paths that make text.

All that vLLM's environment sees of this hub: it holds no more than Python's own library, and is alone in its folder.
"""

import hmac
import os
from typing import Any

_WANTED = b"Bearer " + os.environ.get("VLLM_API_KEY", "").encode()
_OPEN = "/health"


class Key:
    """Lets nothing but `/health` through without the key."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the call on, or refuse it."""
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        open_to_all = scope["type"] == "lifespan" or scope.get("path") == _OPEN
        if open_to_all or (len(_WANTED) > len(b"Bearer ") and hmac.compare_digest(given, _WANTED)):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            head = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 401, "headers": head})
            await send(
                {"type": "http.response.body", "body": b'{"error":{"message":"Invalid API key","code":401}}'}
            )
        else:
            await send({"type": "websocket.close", "code": 1008})
