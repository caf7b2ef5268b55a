"""The way from a command to a hub: its address, a token, one request at a time, and errors as the hub tells them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
import msgspec

from seedstock.core import errors
from seedstock.core.errors import HubError, Invalid, Unauthenticated, Unavailable

if TYPE_CHECKING:
    import httpx

_REFUSALS: dict[int, type[HubError]] = {
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TooLarge,
    429: errors.LimitExceeded,
}
_DEFAULT_URL = "http://127.0.0.1:8300"


priority_option = click.option(
    "--priority",
    type=click.Choice(["low", "normal", "high"]),
    default="normal",
    show_default=True,
    help="Beside other jobs; high is for admins.",
)


def hub_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name the hub and the token, and `--json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON."),
        click.option("--token", metavar="T", help="A token of yours. [default: $HF_TOKEN]"),
        click.option(
            "--endpoint", metavar="URL", help=f"The hub. [default: $HF_ENDPOINT, else {_DEFAULT_URL}]"
        ),
    ):
        command = option(command)
    return command


class HubClient:
    """Requests to one hub with one token."""

    def __init__(self, endpoint: str | None, token: str | None, what: str) -> None:
        """`what` needs a token, says the error when there is none. Raises Unauthenticated."""
        found = token or os.environ.get("HF_TOKEN")
        if not found:
            raise Unauthenticated(f"{what} needs a token", hint="give --token or set HF_TOKEN")
        self.url = (endpoint or os.environ.get("HF_ENDPOINT") or _DEFAULT_URL).rstrip("/")
        self.headers = {"Authorization": f"Bearer {found}"}

    def send(self, method: str, path: str, *, read_timeout_s: float = 300, **request: Any) -> Any:
        """The JSON of an answer; other arguments as httpx takes them. Raises what the hub refused with, and Unavailable."""
        return self.read(self.ask(method, path, read_timeout_s=read_timeout_s, **request))

    def ask(self, method: str, path: str, *, read_timeout_s: float = 300, **request: Any) -> httpx.Response:
        """The answer itself, which is no refusal. Raises as `send`."""
        import httpx

        timeout = httpx.Timeout(30, read=read_timeout_s, write=600)
        headers = self.headers | request.pop("headers", {})
        try:
            answer = httpx.request(method, self.url + path, headers=headers, timeout=timeout, **request)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self.silent(error) from None
        if not answer.is_success:
            raise refusal(answer.status_code, answer.text)
        return answer

    def silent(self, error: Exception) -> Unavailable:
        """The error for a hub that does not answer."""
        return Unavailable(f"The hub at {self.url} does not answer: {error}", hint="check --endpoint")

    def read(self, answer: httpx.Response) -> Any:
        """The JSON of an answer. Raises Unavailable for anything else, which no hub sends."""
        try:
            return msgspec.json.decode(answer.content)
        except msgspec.DecodeError:
            raise Unavailable(
                f"What {self.url} sent is no answer of a hub", hint="check --endpoint"
            ) from None


def refusal(status: int, text: str) -> HubError:
    """What a hub refused with."""
    try:
        message = str(msgspec.json.decode(text)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        message = f"The hub answered with status {status}"
    return (Unavailable if status >= 500 else _REFUSALS.get(status, Invalid))(message)


def print_json(data: Any) -> None:
    """Data for other programs."""
    click.echo(msgspec.json.format(msgspec.json.encode(data)).decode())
