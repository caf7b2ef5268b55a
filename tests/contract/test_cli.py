"""The `hf` command against a live hub."""

from __future__ import annotations

from collections.abc import Callable

from tests.contract.clients import Client


def _ok(client: Client, *arguments: str) -> str:
    done = client.hf(*arguments)
    assert done.returncode == 0, done.text
    return done.text


def test_hf_command(make_client: Callable[..., Client], client_name: str, xet: bool) -> None:
    client = make_client(client_name, xet=xet)
    repo = f"ada/cli-{client_name.replace('.', '-')}-{'xet' if xet else 'lfs'}"
    assert "ada" in _ok(client, "auth", "whoami")
    create = ("repos", "create") if client_name == "hf-newest" else ("repo", "create")
    _ok(client, *create, repo)
    source = client.home / "source"
    (source / "sub").mkdir(parents=True)
    (source / "README.md").write_text("---\nlicense: mit\n---\n# Hi\n")
    (source / "sub" / "w.bin").write_bytes(bytes(range(256)) * 2000)
    _ok(client, "upload", repo, str(source), ".")
    target = client.home / "target"
    _ok(client, "download", repo, "--local-dir", str(target))
    assert (target / "sub" / "w.bin").read_bytes() == bytes(range(256)) * 2000
    _ok(client, "upload", repo, str(source / "README.md"), "copy.md", "--commit-message", "Copy")
    _ok(client, "download", repo, "copy.md", "--local-dir", str(target))
    assert (target / "copy.md").read_bytes() == (source / "README.md").read_bytes()


def test_login_with_a_token(make_client: Callable[..., Client], client_name: str) -> None:
    client = make_client(client_name)
    token = client.token
    done = client.hf("auth", "login", "--token", token, HF_TOKEN="")
    assert done.returncode == 0, done.text
    done = client.hf("auth", "whoami", HF_TOKEN="")
    assert done.returncode == 0, done.text
    assert "ada" in done.text
    assert client.hf("auth", "login", "--token", "hf_" + "x" * 34, HF_TOKEN="").returncode != 0
