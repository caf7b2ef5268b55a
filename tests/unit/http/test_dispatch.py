"""Routes are found by shape exactly as trying every pattern in turn would find them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import Match, Route

from seedstock.http import app
from seedstock.http.dispatch import RouteIndex

_ROUTES: list[Route] = [route for group in app.route_groups() for route in group.routes.routes]
_WORDS = sorted({word for route in _ROUTES for word in route.path.split("/") if word and "{" not in word})
_SEGMENTS = st.sampled_from([*_WORDS, "models", "datasets", "a", "x.git", "", "7", "main", "refs"])
_INDEX = RouteIndex(_ROUTES)


def _full(routes: list[Route], path: str, method: str) -> list[Route]:
    scope = {"type": "http", "path": path, "root_path": "", "method": method}
    return [route for route in routes if route.matches(scope)[0] is not Match.NONE]


@settings(deadline=None, max_examples=400)
@given(st.lists(_SEGMENTS, min_size=1, max_size=9), st.sampled_from(["GET", "POST"]))
def test_candidates_leave_no_match_out(segments: list[str], method: str) -> None:
    path = "/" + "/".join(segments)
    assert _full(_INDEX.candidates(path), path, method) == _full(_ROUTES, path, method)


def test_every_route_is_found_and_few_beside_it() -> None:
    for route in _ROUTES:
        path = route.path.replace("{type:repotype}", "models").replace(":path}", "}").replace(":int}", "}")
        path = "/".join("7" if "{" in part and ".git" not in part else part for part in path.split("/"))
        path = path.replace("{name}", "name")
        found = _INDEX.candidates(path)
        assert route in found, path
        assert len(found) <= 8, path
