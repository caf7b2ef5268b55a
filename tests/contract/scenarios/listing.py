"""Lists and details of repositories. Each function is one test."""

from common import api, equal, folder, fresh, main, noise, raises, repo
from huggingface_hub.errors import BadRequestError, EntryNotFoundError, RepositoryNotFoundError


def pages_through_links():
    stem = fresh("page").split("/")[-1]
    names = [api.create_repo(f"ada/{stem}-{n}").repo_id for n in range(7)]
    from huggingface_hub import constants
    from huggingface_hub.utils import paginate

    url = f"{constants.ENDPOINT}/api/models"
    for extra in ({}, {"full": "true"}, {"sort": "createdAt", "direction": "-1"}):
        items = list(
            paginate(url, params={"search": stem, "limit": 2, **extra}, headers=api._build_hf_headers())
        )
        equal(sorted(item["id"] for item in items), names)
    equal(len(list(api.list_models(search=stem, limit=3))), 3)
    newest = [model.id for model in api.list_models(search=stem, sort="created_at")]
    equal(newest[0], names[-1])
    equal([m.id for m in api.list_models(search=stem, author="bob")], [])


def filters():
    stem = fresh("filter").split("/")[-1]
    card = b"---\nlicense: mit\ntags: [%s]\npipeline_tag: text-generation\n---\n" % stem.encode()
    one, two = (api.create_repo(f"ada/{stem}-{n}").repo_id for n in range(2))
    api.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id=one)
    import time

    deadline = time.monotonic() + 20  # tags are read by a job after the push
    while not list(api.list_models(filter=stem)) and time.monotonic() < deadline:
        time.sleep(0.2)
    equal([m.id for m in api.list_models(filter=stem)], [one])
    equal([m.id for m in api.list_models(filter=[stem, "license:mit"])], [one])
    equal([m.id for m in api.list_models(filter=[stem, "license:gpl"])], [])
    equal([m.id for m in api.list_models(pipeline_tag="text-generation", search=stem)], [one])
    equal({m.id for m in api.list_models(search=stem)}, {one, two})


def sorts():
    for sort in ("last_modified", "created_at", "downloads", "likes", "trending_score"):
        assert list(api.list_models(sort=sort, limit=2)), sort
    raises((BadRequestError, ValueError), lambda: list(api.list_models(sort="colour", limit=2)))
    assert isinstance(list(api.list_datasets(limit=5)), list)
    assert isinstance(list(api.list_spaces(limit=5)), list)


def full_listing():
    repo_id = repo()
    [model] = api.list_models(search=repo_id.split("/")[1], full=True, cardData=True)
    assert model.sha
    equal([sibling.rfilename for sibling in model.siblings], [".gitattributes"])
    [model] = api.list_models(search=repo_id.split("/")[1], expand=["sha", "likes"])
    equal((model.likes, bool(model.sha), model.tags), (0, True, None))


def info():
    repo_id, data = repo(), noise(50_000)
    api.upload_folder(folder_path=folder({"w.bin": data, "c.json": b"{}"}), repo_id=repo_id)
    found = api.model_info(repo_id, files_metadata=True, securityStatus=True)
    siblings = {sibling.rfilename: sibling for sibling in found.siblings}
    equal((siblings["w.bin"].size, siblings["w.bin"].lfs.size), (len(data), len(data)))
    equal((siblings["c.json"].size, siblings["c.json"].lfs), (2, None))
    equal((found.author, found.private, found.gated, found.disabled), ("ada", False, False, False))
    assert found.created_at.tzinfo
    assert found.last_modified >= found.created_at
    first = api.list_repo_commits(repo_id)[-1].commit_id
    equal([s.rfilename for s in api.model_info(repo_id, revision=first).siblings], [".gitattributes"])
    slim = api.model_info(repo_id, expand=["downloads", "siblings"])
    equal((slim.sha, slim.downloads, len(slim.siblings)), (None, 0, 3))
    raises(BadRequestError, api.model_info, repo_id, expand=["colour"])
    raises(RepositoryNotFoundError, api.dataset_info, repo_id)
    data_id = api.create_repo(fresh(), repo_type="dataset").repo_id
    equal(api.dataset_info(data_id).id, data_id)
    equal(api.repo_info(data_id, repo_type="dataset").id, data_id)


def trees():
    repo_id = repo()
    api.upload_folder(
        folder_path=folder({"a/1.txt": b"1", "a/b/2.txt": b"22"}), repo_id=repo_id, commit_message="one"
    )
    api.upload_file(path_or_fileobj=b"3", path_in_repo="a/b/3.txt", repo_id=repo_id, commit_message="two")
    found = {entry.path: entry for entry in api.list_repo_tree(repo_id, recursive=True, expand=True)}
    equal(set(found), {".gitattributes", "a", "a/1.txt", "a/b", "a/b/2.txt", "a/b/3.txt"})
    titles = {path: entry.last_commit.title for path, entry in found.items()}
    equal((titles["a"], titles["a/b"], titles["a/1.txt"], titles["a/b/3.txt"]), ("two", "two", "one", "two"))
    equal([entry.path for entry in api.list_repo_tree(repo_id, "a/b")], ["a/b/2.txt", "a/b/3.txt"])
    raises(EntryNotFoundError, lambda: list(api.list_repo_tree(repo_id, "a/c")))
    infos = api.get_paths_info(repo_id, ["a", "a/1.txt", "zzz"], expand=True)
    equal([(item.path, item.last_commit.title) for item in infos], [("a", "two"), ("a/1.txt", "one")])
    api.create_branch(repo_id, branch="x/y")
    equal(len(list(api.list_repo_tree(repo_id, "a", revision="x/y"))), 2)


def tree_pages():
    repo_id = repo()
    api.upload_folder(folder_path=folder({f"f/{n:04}.txt": b"%d" % n for n in range(1200)}), repo_id=repo_id)
    equal(len(list(api.list_repo_tree(repo_id, "f"))), 1200)
    equal(len(api.list_repo_files(repo_id)), 1201)


def lfs_files():
    repo_id, data = repo(), noise(20_000, 9)
    api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo_id)
    [file] = api.list_lfs_files(repo_id)
    equal((file.filename, file.size), ("w.bin", len(data)))


def tags_by_type():
    tags = api.get_model_tags()
    assert isinstance(tags, dict), tags
    assert isinstance(api.get_dataset_tags(), dict)


if __name__ == "__main__":
    main(globals())
