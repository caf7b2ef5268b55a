"""The pages in one process: who may see what, what forms need, how many queries a page costs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from seedstock.accounts.attempts import MAX_FAILURES
from seedstock.core.names import RESERVED_ACCOUNTS, RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, TokenRole, Viewer
from seedstock.http.app import build_app
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.hub.repos import RepoSettings
from seedstock.web.pages import groups
from seedstock.web.pages.answer import safe_next
from seedstock.web.render import CONTENT_SECURITY_POLICY
from seedstock.wiring import Hub

HTML = {"accept": "text/html", "host": "hub.test"}
PASSWORD = "correct horse battery"


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """The hub of either database, with two people."""
    hub.accounts.create_user("ada", password=PASSWORD)
    hub.accounts.create_user("bob", password=PASSWORD)
    return hub


def client_of(hub: Hub) -> TestClient:
    return TestClient(build_app(hub), base_url="http://hub.test", headers=HTML, follow_redirects=False)


@pytest.fixture
def anyone(hub: Hub) -> TestClient:
    return client_of(hub)


@pytest.fixture
def ada(hub: Hub) -> TestClient:
    return signed_in(hub, "ada")


def signed_in(hub: Hub, name: str) -> TestClient:
    client = client_of(hub)
    answer = client.post("/login", data={"name": name, "password": PASSWORD})
    assert answer.status_code == 303
    return client


def csrf_of(client: TestClient, path: str = "/") -> str:
    found = re.search(r'name="csrf-token" content="([^"]*)"', client.get(path).text)
    assert found is not None
    return found[1]


def viewer_of(hub: Hub, name: str) -> Viewer:
    return hub.accounts.viewer_for_token(hub.accounts.create_token(name, role=TokenRole.WRITE))


def make_repo(hub: Hub, name: str, files: dict[str, bytes], *, private: bool = False) -> RepoId:
    viewer, repo_id = viewer_of(hub, "ada"), RepoId(RepoType.MODEL, "ada", name)
    repo = hub.repos.create(viewer, repo_id, private=private)
    oids = hub.writing.store_blobs(repo, list(files.values()))
    operations = [Put(path, oid) for path, oid in zip(files, oids, strict=True)]
    hub.writing.commit(viewer, repo, "refs/heads/main", CommitMessage("Add files"), operations)
    return repo_id


@contextmanager
def counted(hub: Hub) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(*event: object) -> None:
        if not str(event[2]).startswith("BEGIN"):
            statements.append(str(event[2]))

    sa.event.listen(hub.database.engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(hub.database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("path", "most"),
    [("/", 14), ("/models", 13), ("/ada/m0", 26), ("/ada/m0/tree/main", 14), ("/ada/m0/commits/main", 14)],
)
def test_a_page_costs_a_few_queries_however_much_there_is(
    hub: Hub, ada: TestClient, path: str, most: int
) -> None:
    card = b"---\nbase_model: ada/m1\n---\n# Hello\n"
    for number in range(2):
        make_repo(hub, f"m{number}", {"README.md": card, "a.txt": b"a"})
    ada.get(path)
    with counted(hub) as few:
        assert ada.get(path).status_code == 200
    for number in range(2, 9):
        make_repo(hub, f"m{number}", {"README.md": card, "b.txt": b"b"})
    viewer = viewer_of(hub, "ada")
    repo, ref = hub.writing.begin(viewer, RepoId(RepoType.MODEL, "ada", "m0"), "main")
    for number in range(12):
        oid = hub.writing.store_blobs(repo, [b"%d" % number])[0]
        hub.writing.commit(
            viewer, repo, ref, CommitMessage(f"Commit {number}"), [Put(f"file{number}.txt", oid)]
        )
    ada.get(path)
    with counted(hub) as many:
        assert ada.get(path).status_code == 200
    assert len(many) == len(few) <= most


def test_a_private_repo_and_none_at_all_look_the_same(hub: Hub, anyone: TestClient) -> None:
    make_repo(hub, "veiled", {"README.md": b"# secret"}, private=True)
    bob = signed_in(hub, "bob")
    for client in (anyone, bob):
        for suffix in ("", "/tree/main", "/blob/main/README.md", "/commits/main", "/chat", "/commit/abc"):
            private = client.get(f"/ada/veiled{suffix}")
            missing = client.get(f"/ada/absent{suffix}")
            assert private.status_code == missing.status_code == 404
            assert private.text.replace("veiled", "absent") == missing.text
            assert "secret" not in private.text
    assert "veiled" not in anyone.get("/models").text
    assert "veiled" not in anyone.get("/ada").text
    assert "Sign in" in anyone.get("/ada/absent").text


def test_a_gated_repo_shows_its_card_and_keeps_its_files(hub: Hub, ada: TestClient) -> None:
    repo_id = make_repo(hub, "m", {"README.md": b"# How to ask", "w.txt": b"the goods"})
    hub.repos.change(viewer_of(hub, "ada"), repo_id, RepoSettings(gated="manual"))
    bob = signed_in(hub, "bob")
    assert "How to ask" in bob.get("/ada/m").text
    assert bob.get("/ada/m/tree/main").status_code == 200
    assert bob.get("/ada/m/blob/main/README.md").status_code == 200
    refused = bob.get("/ada/m/blob/main/w.txt")
    assert refused.status_code == 403
    assert "the goods" not in refused.text
    assert "the goods" in ada.get("/ada/m/blob/main/w.txt").text


def test_pages_carry_the_policy_and_are_not_shared(hub: Hub, ada: TestClient) -> None:
    make_repo(hub, "m", {"README.md": b"# Hi"})
    for path in ("/", "/models", "/ada/m", "/login", "/ada/absent", "/settings/tokens", "/new"):
        headers = ada.get(path).headers
        if "location" not in headers:
            assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert "private" in headers["cache-control"] or "no-store" in headers["cache-control"]
            assert headers["x-content-type-options"] == "nosniff"


def test_a_hostile_card_and_file_name_do_no_harm(hub: Hub, anyone: TestClient) -> None:
    card = b'---\nlicense: "<script>1</script>"\n---\n<script>alert(1)</script><a href="javascript:x">y</a>\n'
    name = '"><script>alert(2)</script>.txt'
    make_repo(hub, "m", {"README.md": card, name: b"<script>alert(3)</script>"})
    for path in ("/ada/m", "/ada/m/tree/main", f"/ada/m/blob/main/{quote(name)}", "/models?search=<script>"):
        text = anyone.get(path).text
        scripts = re.findall(r"<script[^>]*>", text)
        assert scripts
        assert all("src=" in script for script in scripts)
        assert "javascript:" not in text


def test_addresses_of_the_hub_are_nobodys_profile(anyone: TestClient) -> None:
    for name in RESERVED_ACCOUNTS:
        assert anyone.get(f"/{name}/zzz").status_code in {303, 307, 404, 405}, name
        assert "User since" not in anyone.get(f"/{name}").text


def test_programs_get_json_errors(anyone: TestClient) -> None:
    for path in ("/api/nothing", "/v1/nothing", "/ada/absent"):
        answer = anyone.get(path, headers={"accept": "*/*"})
        assert answer.headers["content-type"].startswith("application/json"), path
        assert answer.status_code in {401, 404}


def test_sign_in_refuses_what_is_wrong_foreign_or_too_often(hub: Hub, anyone: TestClient) -> None:
    form = {"name": "ada", "password": PASSWORD, "next": "/models"}
    for headers in ({"origin": "http://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert anyone.post("/login", data=form, headers=headers).status_code == 403
    for _ in range(MAX_FAILURES):
        wrong = anyone.post("/login", data={**form, "password": "no"})
        assert wrong.status_code == 400
        assert "Wrong user name or password" in wrong.text
    assert anyone.post("/login", data=form).status_code == 429
    other = anyone.post("/login", data={**form, "name": "bob"}, headers={"origin": "http://hub.test"})
    assert other.headers["location"] == "/models"
    cookie = other.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/models?x=1", "/models?x=1"),
        ("//evil.test", "/"),
        ("/\\evil.test", "/"),
        ("https://evil.test", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        ("/a\nb", "/"),
    ],
)
def test_the_way_back_stays_on_this_host(text: str, expected: str) -> None:
    assert safe_next(text) == expected


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/new", {"type": "model", "owner": "ada", "name": "x"}),
        ("/ada/m/like", {"liked": "true"}),
        ("/ada/m/settings/visibility", {"visibility": "private"}),
        ("/ada/m/settings/move", {"namespace": "ada", "name": "y"}),
        ("/ada/m/settings/delete", {"confirm": "ada/m"}),
        ("/settings/tokens", {"name": "t", "role": "write"}),
        ("/settings/tokens/1/revoke", {}),
        ("/logout", {}),
    ],
)
def test_forms_need_the_token_of_the_session(
    hub: Hub, ada: TestClient, path: str, data: dict[str, str]
) -> None:
    make_repo(hub, "m", {"README.md": b"# Hi"})
    assert ada.post(path, data=data).status_code == 403
    foreign = csrf_of(signed_in(hub, "bob"))
    assert ada.post(path, data={**data, "csrf": foreign}).status_code == 403
    assert not hub.repos.get(ANONYMOUS, RepoId(RepoType.MODEL, "ada", "m")).private
    assert ada.post(path, data={**data, "csrf": csrf_of(ada)}).status_code in {200, 303, 404}


def test_create_like_hide_move_and_delete(hub: Hub, ada: TestClient) -> None:
    csrf = csrf_of(ada)

    def post(path: str, **data: str) -> tuple[int, str]:
        answer = ada.post(path, data={**data, "csrf": csrf})
        return answer.status_code, answer.headers.get("location", "")

    assert post("/new", type="dataset", owner="ada", name="d", visibility="public") == (
        303,
        "/datasets/ada/d?done=created",
    )
    assert post("/new", type="dataset", owner="ada", name="d")[0] == 409
    assert post("/new", type="dataset", owner="bob", name="d")[0] == 400
    assert post("/new", type="dataset", owner="ada", name="a b")[0] == 400
    url = "/datasets/ada/d"
    assert post(f"{url}/like", liked="true") == (303, url)
    assert "Liked" in ada.get(url).text
    assert post(f"{url}/like", liked="false") == (303, url)
    assert "Liked" not in ada.get(url).text
    assert post(f"{url}/settings/visibility", visibility="private")[0] == 303
    assert client_of(hub).get(url).status_code == 404
    assert post(f"{url}/settings/move", namespace="ada", name="e") == (303, "/datasets/ada/e?done=moved")
    assert ada.get(url).headers["location"] == "/datasets/ada/e"
    assert post("/datasets/ada/e/settings/delete", confirm="ada/wrong")[0] == 400
    assert post("/datasets/ada/e/settings/delete", confirm="ada/e") == (303, "/ada")
    assert ada.get("/datasets/ada/e").status_code == 404


def test_strangers_cannot_manage(hub: Hub, anyone: TestClient) -> None:
    make_repo(hub, "m", {"README.md": b"# Hi"})
    bob = signed_in(hub, "bob")
    csrf = csrf_of(bob)
    for path in ("/ada/m/settings", "/ada/m/upload/main", "/admin/jobs"):
        assert bob.get(path).status_code == 403
        assert anyone.get(path).headers["location"].startswith("/login?next=")
    assert bob.post("/ada/m/settings/delete", data={"confirm": "ada/m", "csrf": csrf}).status_code == 403
    assert bob.put("/ada/m/upload/main/x", content=b"x", headers={"x-csrf-token": csrf}).status_code == 403


def test_a_form_uploads_files_small_and_large(hub: Hub, ada: TestClient) -> None:
    make_repo(hub, "m", {"README.md": b"# Hi"})
    files = [("files", ("notes.txt", b"hello\n")), ("files", ("w.bin", b"\0\1\2" * 1000))]
    data = {"csrf": "wrong", "folder": "sub", "summary": "Two files"}
    assert ada.post("/ada/m/upload/main", data=data, files=files).status_code == 403
    answer = ada.post("/ada/m/upload/main", data={**data, "csrf": csrf_of(ada)}, files=files)
    assert answer.status_code == 303
    assert "Two files" in ada.get(answer.headers["location"]).text
    assert ada.get("/ada/m/resolve/main/sub/notes.txt").content == b"hello\n"
    assert ada.get("/ada/m/resolve/main/sub/w.bin").content == b"\0\1\2" * 1000
    assert "LFS" in ada.get("/ada/m/tree/main/sub").text


def test_files_sent_one_by_one_belong_to_sender_and_repo(hub: Hub, ada: TestClient) -> None:
    make_repo(hub, "m", {"README.md": b"# Hi"})
    make_repo(hub, "n", {"README.md": b"# Hi"})
    csrf = csrf_of(ada)
    assert ada.put("/ada/m/upload/main/a/b.bin", content=b"\0x").status_code == 403
    sent = ada.put("/ada/m/upload/main/a/b.bin", content=b"\0x", headers={"x-csrf-token": csrf})
    reference = sent.json()["staged"]

    def commit(repo: str, staged: str) -> int:
        form = {"csrf": csrf, "staged": staged, "summary": ""}
        return ada.post(f"/ada/{repo}/upload/main", data=form, files={"files": ("", b"")}).status_code

    assert commit("n", reference) == 400
    assert commit("m", reference[:-1] + ("0" if reference[-1] != "0" else "1")) == 400
    assert commit("m", reference) == 303
    assert ada.get("/ada/m/resolve/main/a/b.bin").content == b"\0x"
    assert ada.put(
        "/ada/m/upload/main/.git/x", content=b"x", headers={"x-csrf-token": csrf, "accept": "*/*"}
    ).status_code in {400, 422}


def test_tokens_are_shown_once_and_revoked(hub: Hub, ada: TestClient) -> None:
    csrf = csrf_of(ada)
    made = ada.post("/settings/tokens", data={"name": "box", "role": "write", "csrf": csrf})
    found = re.search(r'id="secret">([^<]+)<', made.text)
    assert found is not None
    secret = found[1]
    assert made.headers["cache-control"] == "no-store"
    assert secret not in ada.get("/settings/tokens").text
    bearer = {"authorization": f"Bearer {secret}", "accept": "*/*"}
    assert client_of(hub).get("/api/whoami-v2", headers=bearer).json()["name"] == "ada"
    assert client_of(hub).get("/settings/tokens", headers=bearer).status_code == 403
    token = re.search(r"/settings/tokens/(\d+)/revoke", made.text)
    assert token is not None
    assert ada.post(token[0], data={"csrf": csrf}).status_code == 303
    assert client_of(hub).get("/api/whoami-v2", headers=bearer).status_code == 401


def test_lists_search_filter_sort_and_page(hub: Hub, anyone: TestClient) -> None:
    viewer = viewer_of(hub, "ada")
    for number in range(35):
        hub.repos.create(viewer, RepoId(RepoType.MODEL, "ada", f"model-{number:02d}"))
    first = anyone.get("/models?sort=name").text
    assert "35 models" in first
    assert "model-29" in first
    assert "model-30" not in first
    second = anyone.get("/models?sort=name&page=2").text
    assert "model-30" in second
    assert "1 model matching" in anyone.get("/models?search=model-07").text
    assert "No models match" in anyone.get("/models?task=fill-mask").text
    assert anyone.get("/models?sort=zzz&page=0").status_code == 200
    assert anyone.get("/models?page=x").status_code == 400


def test_files_of_a_branch_with_a_slash(hub: Hub, ada: TestClient) -> None:
    make_repo(hub, "m", {"README.md": b"# Hi", "docs/guide.md": b"[up](../README.md)"})
    viewer, repo_id = viewer_of(hub, "ada"), RepoId(RepoType.MODEL, "ada", "m")
    hub.refs.create_branch(viewer, repo_id, "try/this")
    for revision in ("try%2Fthis", "try/this"):
        page = ada.get(f"/ada/m/blob/{revision}/docs/guide.md").text
        assert 'href="/ada/m/blob/try%2Fthis/README.md"' in page
        assert ada.get(f"/ada/m/tree/{revision}/docs").status_code == 200
    assert ada.get("/ada/m/tree/main/docs/guide.md").headers["location"] == "/ada/m/blob/main/docs/guide.md"
    assert ada.get("/ada/m/tree/main/nope").status_code == 404
    assert "Add files" in ada.get("/ada/m/commits/main/docs/guide.md").text
    assert "initial commit" not in ada.get("/ada/m/commits/main/docs/guide.md").text


def test_static_files_are_kept_for_ever_under_their_version(anyone: TestClient) -> None:
    path = re.search(r'href="(/static/[^"]+/base\.css)"', anyone.get("/").text)
    assert path is not None
    answer = anyone.get(path[1])
    assert answer.headers["cache-control"].endswith("immutable")
    assert answer.headers["content-type"].startswith("text/css")
    assert anyone.get("/static/old/base.css").headers["cache-control"] == "no-cache"
    assert anyone.get("/static/old/../../pages/site.py").status_code == 404
    assert anyone.get("/avatars/ada.svg").headers["content-type"].startswith("image/svg+xml")
    assert "Disallow" in anyone.get("/robots.txt").text


_ODD = [
    "main",
    "..",
    ".",
    "a/b",
    "\x00",
    "\u4e2d",
    "9" * 40,
    "' OR 1=1",
    "{{7*7}}",
    "<b>",
    "main//",
    "-1",
    "x" * 3000,
]


def test_odd_addresses_never_break_a_page(hub: Hub, ada: TestClient) -> None:
    make_repo(hub, "m", {"README.md": b"# Hi"})
    csrf = csrf_of(ada)
    for group in groups():
        for route in group.routes.declared:
            for path, odd in itertools.product(route.paths[:1], _ODD):
                address = path.replace("{type:repotype}", "models").replace("{ns:account}", "ada")
                address = re.sub(r"\{[^}]*\}", quote(odd), address.replace("{name}", "m", 1))
                query = f"?page={quote(odd)}&search={quote(odd)}&done={quote(odd)}"
                body = (
                    {"data": {"csrf": csrf, "name": odd, "type": "model"}} if route.method == "POST" else {}
                )
                if "logout" in path or "delete" in path:
                    continue
                answer = ada.request(route.method, address + query, **body)  # type: ignore[arg-type]
                assert answer.status_code < 500, (route.method, address, answer.text)
