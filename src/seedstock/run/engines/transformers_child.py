"""One model in transformers behind OpenAI-shaped HTTP: the process that the supervisor starts.

The supervisor gives it one request at a time; questions that write no text may come beside it.
"""

from __future__ import annotations

import argparse
import hmac
import os
import signal
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from seedstock.core.errors import HubError, Invalid, Unavailable
from seedstock.run.engines import child_guard
from seedstock.run.engines.base import Ready
from seedstock.run.engines.loopback import send_json


def main() -> None:
    """Load the model, announce the port, and serve until killed."""
    options = _parse_options()
    secrets, ready_fd = child_guard.enter(options.parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the supervisor decides
    os.environ |= {
        "HF_HUB_OFFLINE": "1",  # nothing that a config names is fetched
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(options.threads),
    }
    import torch

    from seedstock.run.engines.transformers_model import load
    from seedstock.run.engines.transformers_template import abilities_of

    torch.set_num_threads(options.threads)
    try:
        loaded = load(options.folder, options.dtype)
    except HubError as error:
        child_guard.announce(ready_fd, Ready(error=error.message))
        return
    server = _Server(loaded, secrets.api_key, options.context_tokens)
    child_guard.announce(ready_fd, Ready(port=server.server_address[1], abilities=abilities_of(loaded)))
    server.serve_forever()


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="seedstock-transformers")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--context-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    return parser.parse_args()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, loaded: Any, api_key: str, context_tokens: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.loaded = loaded
        self.api_key = api_key
        self.context_tokens = context_tokens
        self.writing = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Health."""
        send_json(self, 200 if self.path == "/health" else 404, {"status": "ok"})

    def do_POST(self) -> None:
        """A question to the model."""
        length = int(self.headers.get("content-length", 0))
        data = self.rfile.read(length)
        if not hmac.compare_digest(
            self.headers.get("authorization", "").encode(), f"Bearer {self.server.api_key}".encode()
        ):
            self._send_error(401, "Invalid API key")
            return
        try:
            self._answer(msgspec.json.decode(data, type=dict[str, Any]))
        except Invalid as error:
            self._send_error(400, error.message)
        except Unavailable as error:
            self._send_error(503, error.message)
        except ConnectionError:
            pass  # nobody waits for the answer any more
        except Exception as error:  # noqa: BLE001 - told to the caller, and the model goes on
            traceback.print_exc(file=sys.stderr)
            self._send_error(500, f"{type(error).__name__}: {error}"[:500])

    def _answer(self, body: dict[str, Any]) -> None:
        from seedstock.run.engines import transformers_vectors
        from seedstock.run.engines.transformers_answers import answer_text

        server = self.server
        if self.path == "/v1/embeddings":
            with server.writing:
                send_json(self, 200, transformers_vectors.embed(server.loaded, body, server.context_tokens))
        elif self.path in {"/v1/chat/completions", "/v1/completions"}:
            answer_text(self, server.loaded, body, server.context_tokens, server.writing)
        elif self.path in {"/tokenize", "/detokenize"}:
            send_json(self, 200, _tokens(server.loaded.tokenizer, self.path, body))
        else:
            raise Invalid(
                "Models that run with transformers answer OpenAI's chat, completions and embeddings, not this API"
            )

    def _send_error(self, status: int, message: str) -> None:
        send_json(
            self, status, {"error": {"message": message, "type": "invalid_request_error", "code": status}}
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: their paths say nothing."""


def _tokens(tokenizer: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """llama.cpp's answers to the same questions."""
    if path == "/detokenize":
        if any(token >= len(tokenizer) for token in body["tokens"]):
            raise Invalid("'tokens' holds numbers that are no tokens of this model")
        return {"content": tokenizer.decode(body["tokens"])}
    ids = tokenizer(body["content"], add_special_tokens=body["add_special"])["input_ids"]
    if not body["with_pieces"]:
        return {"tokens": ids}
    return {"tokens": [{"id": token, "piece": tokenizer.decode([token])} for token in ids]}


if __name__ == "__main__":
    main()
