"""Files up and down, as stock clients move them. Each function is one test."""

import json
import time
import urllib.request

from common import XET, HfApi, Path, api, equal, folder, io, main, noise, raises, read, repo, sha256, tempfile
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfFileSystem,
    get_hf_file_metadata,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError


def small_file():
    repo_id = repo()
    done = api.upload_file(path_or_fileobj=b"hello", path_in_repo="a/b c.txt", repo_id=repo_id)
    assert done.commit_url.startswith(api.endpoint), done
    equal(read(repo_id, "a/b c.txt"), b"hello")
    again = api.upload_file(path_or_fileobj=b"hello", path_in_repo="a/b c.txt", repo_id=repo_id)
    equal(again.oid, done.oid)


def large_file():
    repo_id, data = repo(), noise(3_000_000)
    path = folder({"model.bin": data}) / "model.bin"
    api.upload_file(path_or_fileobj=str(path), path_in_repo="model.bin", repo_id=repo_id)
    equal(read(repo_id, "model.bin"), data)
    meta = get_hf_file_metadata(hf_hub_url(repo_id, "model.bin"))
    equal((meta.etag, meta.size), (sha256(data), len(data)))
    if XET:  # without, the same bytes may have come by Xet to another repository
        assert meta.xet_file_data is not None
    [info] = api.get_paths_info(repo_id, "model.bin")
    equal((info.lfs.sha256, info.lfs.size, info.size), (sha256(data), len(data), len(data)))
    api.upload_file(path_or_fileobj=str(path), path_in_repo="copy.bin", repo_id=repo_id)
    equal(read(repo_id, "copy.bin"), data)


def file_object():
    repo_id, data = repo(), noise(400_000, 1)
    api.upload_file(path_or_fileobj=io.BytesIO(data), path_in_repo="x.safetensors", repo_id=repo_id)
    equal(read(repo_id, "x.safetensors"), data)


def empty_file():
    repo_id = repo()
    api.upload_file(path_or_fileobj=b"", path_in_repo="empty.bin", repo_id=repo_id)
    equal(read(repo_id, "empty.bin"), b"")
    equal(api.get_paths_info(repo_id, ["empty.bin"])[0].size, 0)


MIXED = {
    "README.md": b"---\nlicense: mit\n---\n# Hi\n",
    "weights/a.safetensors": noise(700_000, 2),
    "weights/b.bin": noise(1_200_000, 3),
    "weights/empty.bin": b"",
    "deep/er/und/\u00fcml\u00e4ut \u6587.txt": "\u00e4".encode(),
    "deep/er/config.json": b"{}",
    "UPPER.txt": b"upper",
    "upper.txt": b"lower",
}


def mixed_folder():
    repo_id, root = repo(), folder(MIXED)
    done = api.upload_folder(folder_path=root, repo_id=repo_id)
    equal(set(api.list_repo_files(repo_id)), {*MIXED, ".gitattributes"})
    local = Path(tempfile.mkdtemp())
    snapshot_download(repo_id, local_dir=local)
    for path, data in MIXED.items():
        equal((local / path).read_bytes(), data)
    cached = Path(snapshot_download(repo_id, revision=done.oid))
    equal(cached.name, done.oid)
    again = api.upload_folder(folder_path=root, repo_id=repo_id, delete_patterns=["deep/**"])
    assert again.oid, again


def ignored_by_gitignore():
    repo_id = repo()
    api.upload_folder(
        folder_path=folder({".gitignore": b"*.log\n", "a.log": b"x", "a.txt": b"x"}), repo_id=repo_id
    )
    equal(set(api.list_repo_files(repo_id)), {".gitattributes", ".gitignore", "a.txt"})


def upload_large_folder():
    repo_id = repo()
    files = {f"part/{n}.txt": str(n).encode() for n in range(12)} | {"w.safetensors": noise(900_000, 4)}
    # 2.x dropped the name: its `upload_folder` is the one for large folders.
    upload = getattr(api, "upload_large_folder", None) or api.upload_folder
    upload(repo_id=repo_id, folder_path=folder(files), repo_type="model")
    equal(set(api.list_repo_files(repo_id)), {*files, ".gitattributes"})
    equal(read(repo_id, "w.safetensors"), files["w.safetensors"])


def snapshot_patterns():
    repo_id = repo()
    api.upload_folder(folder_path=folder(MIXED), repo_id=repo_id)
    local = Path(tempfile.mkdtemp())
    snapshot_download(repo_id, local_dir=local, allow_patterns=["*.txt"], ignore_patterns=["deep/*"])
    found = {str(p.relative_to(local)) for p in local.rglob("*") if p.is_file() and ".cache" not in p.parts}
    equal(found, {"UPPER.txt", "upper.txt"})


def resume_broken_download():
    repo_id, data = repo(), noise(2_500_000, 5)
    path = folder({"m.bin": data}) / "m.bin"
    api.upload_file(path_or_fileobj=str(path), path_in_repo="m.bin", repo_id=repo_id)
    url = hf_hub_url(repo_id, "m.bin")
    etag = get_hf_file_metadata(url).etag
    local = Path(tempfile.mkdtemp())
    # What a broken download leaves behind: the first half, under the name of its entity tag.
    from huggingface_hub._local_folder import get_local_download_paths

    half = get_local_download_paths(local, "m.bin").incomplete_path(etag)
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(data[:1_000_000])
    got = Path(api.hf_hub_download(repo_id, "m.bin", local_dir=local))
    equal(sha256(got.read_bytes()), sha256(data))
    request = urllib.request.Request(url, headers={"Range": "bytes=1000000-", **api._build_hf_headers()})
    with urllib.request.urlopen(request) as answer:
        equal(answer.status, 206)
        equal(answer.headers["Content-Range"], "bytes 1000000-2499999/2500000")
        equal(answer.read(), data[1_000_000:])


def commit_operations():
    repo_id = repo()
    api.upload_folder(
        folder_path=folder({"a/1.txt": b"1", "a/2.txt": b"2", "w.bin": noise(9_000)}), repo_id=repo_id
    )
    operations = [
        CommitOperationDelete("a/", is_folder=True),
        CommitOperationAdd("a/3.txt", b"3"),
        CommitOperationCopy("w.bin", "copied/w.bin"),
    ]
    done = api.create_commit(repo_id, operations, commit_message="Many", commit_description="At once")
    equal(set(api.list_repo_files(repo_id)), {".gitattributes", "a/3.txt", "w.bin", "copied/w.bin"})
    equal(read(repo_id, "copied/w.bin"), noise(9_000))
    newest = next(iter(api.list_repo_commits(repo_id)))
    equal(
        (newest.commit_id, newest.title, newest.message, newest.authors),
        (done.oid, "Many", "At once", ["ada"]),
    )
    error = raises(
        HfHubHTTPError,
        api.create_commit,
        repo_id,
        [CommitOperationAdd("z", b"z")],
        commit_message="late",
        parent_commit=api.list_repo_commits(repo_id)[-1].commit_id,
    )
    equal(error.response.status_code, 412)
    api.delete_file("a/3.txt", repo_id)
    raises(EntryNotFoundError, read, repo_id, "a/3.txt")
    raises(EntryNotFoundError, api.delete_file, "a/3.txt", repo_id)
    api.delete_folder("copied", repo_id)
    equal(set(api.list_repo_files(repo_id)), {".gitattributes", "w.bin"})
    api.delete_files(repo_id, ["*.bin"])
    equal(api.list_repo_files(repo_id), [".gitattributes"])


def commits_to_branch():
    repo_id = repo()
    api.create_branch(repo_id, branch="dev/x")
    api.upload_file(path_or_fileobj=b"dev", path_in_repo="f.txt", repo_id=repo_id, revision="dev/x")
    equal(read(repo_id, "f.txt", revision="dev/x"), b"dev")
    raises(EntryNotFoundError, read, repo_id, "f.txt")
    raises(RevisionNotFoundError, read, repo_id, "f.txt", revision="nowhere")
    raises(
        RevisionNotFoundError,
        api.upload_file,
        path_or_fileobj=b"x",
        path_in_repo="x",
        repo_id=repo_id,
        revision="nowhere",
    )
    sha = api.model_info(repo_id, revision="dev/x").sha
    equal(read(repo_id, "f.txt", revision=sha), b"dev")


def probing_absent_files():
    """As transformers does: an absence is remembered with its commit."""
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    repo_id = repo()
    for name in (
        "generation_config.json",
        "adapter_config.json",
        "chat_template.jinja",
        "x/y/processor.json",
    ):
        raises(EntryNotFoundError, api.hf_hub_download, repo_id, name)
        assert try_to_load_from_cache(repo_id, name) is _CACHED_NO_EXIST, name


def filesystem():
    repo_id, data = repo(), noise(600_000, 6)
    fs = HfFileSystem()
    api.upload_folder(
        folder_path=folder({"d/a.bin": data, "d/e/b.txt": b"bee", "c.txt": b"sea"}), repo_id=repo_id
    )
    equal(sorted(fs.glob(f"{repo_id}/**/*.txt")), [f"{repo_id}/c.txt", f"{repo_id}/d/e/b.txt"])
    equal(sorted(fs.ls(repo_id, detail=False)), [f"{repo_id}/{n}" for n in (".gitattributes", "c.txt", "d")])
    with fs.open(f"{repo_id}/d/a.bin", block_size=1000) as file:
        file.seek(300_000)
        equal(file.read(5), data[300_000:300_005])
        file.seek(-7, 2)
        equal(file.read(), data[-7:])
    equal(fs.info(f"{repo_id}/d/a.bin")["size"], len(data))
    assert fs.exists(f"{repo_id}/d/e")
    assert not fs.exists(f"{repo_id}/d/z")
    with fs.open(f"{repo_id}/new.txt", "wb") as file:
        file.write(b"written")
    fs.invalidate_cache()
    equal(fs.read_text(f"{repo_id}/new.txt"), "written")
    fs.rm(f"{repo_id}/new.txt")
    assert not HfFileSystem(skip_instance_cache=True).exists(f"{repo_id}/new.txt")


def safetensors_metadata():
    repo_id = repo()
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]}}
    ).encode()
    data = len(header).to_bytes(8, "little") + header + noise(128)
    api.upload_file(path_or_fileobj=data, path_in_repo="model.safetensors", repo_id=repo_id)
    meta = api.get_safetensors_metadata(repo_id)
    equal((meta.sharded, meta.parameter_count), (False, {"F32": 32}))


def offline_after_download():
    import os
    import subprocess
    import sys

    repo_id = repo()
    api.upload_folder(folder_path=folder(MIXED), repo_id=repo_id)
    path = snapshot_download(repo_id)
    code = f"import huggingface_hub as h; print(h.snapshot_download({repo_id!r}))"
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    equal(done.stdout.strip(), path)


def concurrent_commits():
    from concurrent.futures import ThreadPoolExecutor

    repo_id = repo()

    def put(number):
        HfApi().upload_file(
            path_or_fileobj=str(number).encode(), path_in_repo=f"{number}.txt", repo_id=repo_id
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(8)))
    equal(set(api.list_repo_files(repo_id)), {".gitattributes", *(f"{n}.txt" for n in range(8))})
    equal(len(api.list_repo_commits(repo_id)), 9)


def download_counts():
    repo_id = repo()
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=repo_id)
    read(repo_id, "config.json")
    deadline = time.monotonic() + 20
    # Counts are written some seconds later, by whoever counts next.
    while api.model_info(repo_id, expand=["downloads"]).downloads == 0 and time.monotonic() < deadline:
        urllib.request.urlopen(f"{hf_hub_url(repo_id, 'config.json')}").close()
        time.sleep(0.5)
    assert api.model_info(repo_id, expand=["downloads"]).downloads >= 1


if __name__ == "__main__":
    main(globals())
