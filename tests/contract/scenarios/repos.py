"""Repositories, branches, tags and who may do what. Each function is one test."""

import os

from common import ENDPOINT, STRANGER_TOKEN, HfApi, api, equal, folder, fresh, main, noise, raises, read, repo
from huggingface_hub import ModelCard, RepoUrl, repo_exists
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

_stranger = HfApi(token=STRANGER_TOKEN)
_nobody = HfApi(token=False)


def create_and_delete():
    for kind in ("model", "dataset"):
        name = fresh()
        url = api.create_repo(name, repo_type=kind)
        assert isinstance(url, RepoUrl)
        equal((url.repo_id, url.repo_type), (name, kind))
        equal(str(url), f"{ENDPOINT}/{'' if kind == 'model' else 'datasets/'}{name}")
        equal(api.create_repo(name, repo_type=kind, exist_ok=True).repo_id, name)
        equal(raises(HfHubHTTPError, api.create_repo, name, repo_type=kind).response.status_code, 409)
        equal(api.list_repo_files(name, repo_type=kind), [".gitattributes"])
        api.delete_repo(name, repo_type=kind)
        raises(RepositoryNotFoundError, api.delete_repo, name, repo_type=kind)
        api.delete_repo(name, repo_type=kind, missing_ok=True)
        assert not api.repo_exists(name, repo_type=kind)


def create_in_own_namespace():
    url = api.create_repo(fresh("plain"))
    equal(url.namespace, "ada")


def names_in_any_case():
    name = fresh("ada/MiXed")
    api.create_repo(name)
    equal(api.model_info(name.lower()).id, name)
    equal(raises(HfHubHTTPError, api.create_repo, name.lower()).response.status_code, 409)
    equal(api.create_repo(name.upper().replace("ADA", "ada"), exist_ok=True).repo_id, name)


def bad_names():
    import json
    import urllib.error
    import urllib.request

    for name in ("a--b", "a..b", "x.git", "-a", "a" * 97, "\u00e4", "a b", "../x", "", "a/b/c", "."):
        body = json.dumps({"name": name, "organization": "ada"}).encode()
        headers = {**api._build_hf_headers(), "content-type": "application/json"}
        request = urllib.request.Request(f"{ENDPOINT}/api/repos/create", body, headers)
        error = raises(urllib.error.HTTPError, urllib.request.urlopen, request)
        with error:
            assert error.code in {400, 403}, (name, error.code)
            assert "error" in json.load(error), name


def foreign_namespace():
    for name in ("bob/x", "nobody-here/x"):
        equal(raises(HfHubHTTPError, api.create_repo, name).response.status_code, 403)
    equal(raises(HfHubHTTPError, _nobody.create_repo, "ada/x").response.status_code, 401)


def private_is_invisible():
    repo_id = repo(private=True)
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repo_id)
    absent = fresh()
    for other in (_stranger, _nobody):
        for call in (
            lambda api, name: api.model_info(name),
            lambda api, name: api.hf_hub_download(name, "config.json"),
            lambda api, name: api.list_repo_files(name),
            lambda api, name: api.list_repo_refs(name),
            lambda api, name: api.list_repo_commits(name),
            lambda api, name: api.get_paths_info(name, ["config.json"]),
            lambda api, name: api.auth_check(name),
            lambda api, name: api.snapshot_download(name),
        ):
            hidden, missing = (
                raises(RepositoryNotFoundError, call, other, name) for name in (repo_id, absent)
            )
            equal(hidden.response.status_code, missing.response.status_code)
            equal(hidden.response.text, missing.response.text)
        assert not other.repo_exists(repo_id)
        assert not other.file_exists(repo_id, "config.json")
        assert repo_id not in {m.id for m in other.list_models(author="ada", limit=1000)}
    raises(
        RepositoryNotFoundError, _stranger.upload_file, path_or_fileobj=b"", path_in_repo="x", repo_id=repo_id
    )
    raises(RepositoryNotFoundError, _stranger.delete_repo, repo_id)
    assert repo_id in {m.id for m in api.list_models(author="ada", search=repo_id.split("/")[1])}
    api.auth_check(repo_id)
    api.update_repo_settings(repo_id, private=False)
    equal(_nobody.model_info(repo_id).private, False)


def public_is_read_only():
    repo_id = repo()
    for act in (
        lambda other: other.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id=repo_id),
        lambda other: other.delete_repo(repo_id),
        lambda other: other.create_branch(repo_id, branch="b"),
        lambda other: other.create_tag(repo_id, tag="t"),
        lambda other: other.update_repo_settings(repo_id, private=True),
        lambda other: other.move_repo(repo_id, fresh("bob/m")),
    ):
        equal(raises(HfHubHTTPError, act, _stranger).response.status_code, 403)
        equal(raises(HfHubHTTPError, act, HfApi(token=os.environ["READ_TOKEN"])).response.status_code, 403)
        equal(raises(HfHubHTTPError, act, _nobody).response.status_code, 401)


def organisation_roles():
    contributor = HfApi(token=os.environ["CONTRIBUTOR_TOKEN"])
    theirs = contributor.create_repo(fresh("lab/t")).repo_id
    contributor.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=theirs)
    foreign = api.create_repo(fresh("lab/a"), private=True).repo_id
    contributor.model_info(foreign)
    _stranger.model_info(foreign)
    for other in (contributor, _stranger):
        error = raises(
            HfHubHTTPError, other.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id=foreign
        )
        equal(error.response.status_code, 403)
    equal(raises(HfHubHTTPError, _stranger.create_repo, fresh("lab/b")).response.status_code, 403)
    api.upload_file(path_or_fileobj=b"y", path_in_repo="y.txt", repo_id=theirs)


def branches_and_tags():
    repo_id = repo()
    first = api.model_info(repo_id).sha
    api.upload_file(path_or_fileobj=b"1", path_in_repo="f", repo_id=repo_id)
    api.create_branch(repo_id, branch="dev")
    equal(raises(HfHubHTTPError, api.create_branch, repo_id, branch="dev").response.status_code, 409)
    api.create_branch(repo_id, branch="dev", exist_ok=True)
    api.create_branch(repo_id, branch="old", revision=first)
    raises(RevisionNotFoundError, api.create_branch, repo_id, branch="x", revision="nowhere")
    api.create_tag(repo_id, tag="v1", tag_message="One", revision=first[:8])
    api.create_tag(repo_id, tag="v2")
    equal(raises(HfHubHTTPError, api.create_tag, repo_id, tag="v1").response.status_code, 409)
    raises(RevisionNotFoundError, api.create_tag, repo_id, tag="v9", revision="nowhere")
    raises(BadRequestError, api.create_tag, repo_id, tag="bad..name")
    refs = api.list_repo_refs(repo_id, include_pull_requests=True)
    equal({b.name for b in refs.branches}, {"main", "dev", "old"})
    equal({t.name: t.target_commit == first for t in refs.tags}, {"v1": True, "v2": False})
    equal((refs.converts, refs.pull_requests), ([], []))
    assert api.revision_exists(repo_id, "v1")
    assert not api.revision_exists(repo_id, "v3")
    raises(RevisionNotFoundError, api.delete_tag, repo_id, tag="dev")
    raises(RevisionNotFoundError, api.delete_branch, repo_id, branch="v1")
    equal(raises(HfHubHTTPError, api.delete_branch, repo_id, branch="main").response.status_code, 403)
    api.delete_tag(repo_id, tag="v1")
    api.delete_branch(repo_id, branch="old")
    raises(RevisionNotFoundError, api.delete_tag, repo_id, tag="v1")
    equal(len(api.list_repo_refs(repo_id).branches), 2)


def move():
    repo_id, target = repo(), fresh("lab/moved")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo_id)
    taken = repo()
    equal(raises(HfHubHTTPError, api.move_repo, repo_id, taken).response.status_code // 100, 4)
    api.move_repo(repo_id, target)
    equal(api.model_info(target).id, target)
    equal(api.model_info(repo_id).id, target)
    equal(read(repo_id, "x.txt"), b"x")
    equal(read(target, "x.txt"), b"x")
    api.upload_file(path_or_fileobj=b"y", path_in_repo="y.txt", repo_id=repo_id)
    equal(read(target, "y.txt"), b"y")
    api.create_repo(repo_id)
    raises(Exception, api.hf_hub_download, repo_id, "x.txt", force_download=True)


def existence():
    repo_id = repo()
    assert repo_exists(repo_id)
    assert api.file_exists(repo_id, ".gitattributes")
    assert not api.file_exists(repo_id, "absent.txt")
    assert not api.file_exists(repo_id, ".gitattributes", revision="nowhere")
    assert api.revision_exists(repo_id, "main")
    assert not api.repo_exists(fresh())
    api.auth_check(repo_id)
    raises(RepositoryNotFoundError, api.auth_check, fresh())


def gated_settings():
    repo_id = repo()
    api.update_repo_settings(repo_id, gated="auto")
    equal(api.model_info(repo_id).gated, "auto")
    api.update_repo_settings(repo_id, gated=False)
    equal(api.model_info(repo_id).gated, False)
    assert GatedRepoError is not None


def likes():
    import urllib.request

    repo_id = repo()
    request = urllib.request.Request(f"{ENDPOINT}/api/models/{repo_id}/like", b"", api._build_hf_headers())
    urllib.request.urlopen(request).close()
    equal([user.username for user in api.list_repo_likers(repo_id)], ["ada"])
    equal(api.model_info(repo_id).likes, 1)
    liked = api.list_liked_repos("ada")
    assert repo_id in liked.models, liked
    api.unlike(repo_id)
    equal(list(api.list_repo_likers(repo_id)), [])
    equal(api.model_info(repo_id).likes, 0)


def model_card():
    repo_id = repo()
    card = ModelCard("---\nlicense: apache-2.0\ntags: [a, b]\nlanguage: [en]\n---\n# Card\n")
    if not hasattr(api, "validate_yaml"):  # 1.x validates at a fixed address
        card.validate = lambda *args, **kwargs: None
    card.push_to_hub(repo_id)
    loaded = ModelCard.load(repo_id)
    equal((loaded.data.license, loaded.data.tags), ("apache-2.0", ["a", "b"]))
    info = api.model_info(repo_id)
    equal(info.card_data.license, "apache-2.0")
    assert {"a", "b", "en", "license:apache-2.0"} <= set(info.tags), info.tags


def malformed_card_is_refused_by_the_client():
    repo_id = repo()
    error = raises(
        ValueError,
        api.upload_file,
        path_or_fileobj=b"---\nlicense: [mit\n---\n",
        path_in_repo="README.md",
        repo_id=repo_id,
    )
    assert "nvalid" in str(error), error


def super_squash():
    repo_id = repo()
    for number in range(3):
        api.upload_file(path_or_fileobj=str(number).encode(), path_in_repo=f"{number}.txt", repo_id=repo_id)
    api.create_tag(repo_id, tag="before")
    api.super_squash_history(repo_id, commit_message="Squashed")
    [commit] = api.list_repo_commits(repo_id)
    equal(commit.title, "Squashed")
    equal(len(api.list_repo_files(repo_id)), 4)
    equal(len(api.list_repo_commits(repo_id, revision="before")), 4)
    raises(RevisionNotFoundError, api.super_squash_history, repo_id, branch="nowhere")


def duplicate():
    import json
    import urllib.request

    source, target = repo(), fresh("lab/copy")
    api.upload_file(path_or_fileobj=noise(20_000), path_in_repo="w.bin", repo_id=source)
    api.create_tag(source, tag="v1")
    body = json.dumps({"repository": target}).encode()
    headers = {**api._build_hf_headers(), "content-type": "application/json"}
    request = urllib.request.Request(f"{ENDPOINT}/api/models/{source}/duplicate", body, headers)
    with urllib.request.urlopen(request) as answer:
        equal(json.load(answer)["url"], f"{ENDPOINT}/{target}")
    api.delete_repo(source)
    equal(read(target, "w.bin", revision="v1"), noise(20_000))
    equal(len(api.list_repo_commits(target)), 2)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=target)
    error = raises(
        urllib.error.HTTPError,
        urllib.request.urlopen,
        urllib.request.Request(f"{ENDPOINT}/api/models/{target}/duplicate", body, headers),
    )
    with error:
        equal((error.code, json.load(error)["url"]), (409, f"{ENDPOINT}/{target}"))


def history_pages():
    repo_id = repo()
    for number in range(3):
        api.upload_folder(
            folder_path=folder({f"{number}.txt": b"x"}), repo_id=repo_id, commit_message=f"c{number}"
        )
    titles = [commit.title for commit in api.list_repo_commits(repo_id, formatted=True)]
    equal(titles, ["c2", "c1", "c0", "initial commit"])
    raises(RevisionNotFoundError, api.list_repo_commits, repo_id, revision="nowhere")


if __name__ == "__main__":
    main(globals())
