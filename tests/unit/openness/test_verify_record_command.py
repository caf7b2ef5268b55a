import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seedstock.cli.main import cli
from tests.unit.openness.test_records import KEY, OTHER, RECORD


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    contents = {
        "record": RECORD,
        "changed": RECORD.replace(b'"payload":"e', b'"payload":"f'),
        "other.pem": OTHER.public.pem,
        "hub.pem": KEY.public.pem,
        "text": b"hello",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: str(tmp_path / name) for name in contents}


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(cli, ["verify-record", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_a_record_by_a_known_key(files: dict[str, str]) -> None:
    done = run(files["record"], "--key", files["other.pem"], "--key", files["hub.pem"])
    assert done.exit_code == 0
    assert "about:   lab/child gitCommit:" + "a" * 40 in done.stdout
    assert "verdict: derived" in done.stdout
    assert KEY.public.id in done.stdout
    assert done.stdout.splitlines()[-1] == "intact, signed by a key that you gave"


@pytest.mark.parametrize("keys", [[], ["other.pem"]])
def test_a_record_by_another_key(files: dict[str, str], keys: list[str]) -> None:
    done = run(files["record"], *(word for key in keys for word in ("--key", files[key])))
    assert done.exit_code == 4
    assert "the signature is intact, but its key is not known to you" in done.stderr
    assert "signed by a key that you gave" not in done.stdout


def test_json(files: dict[str, str]) -> None:
    done = run(files["record"], "--key", files["hub.pem"], "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["trusted"], found["predicate"]["verdict"]) == (0, True, "derived")
    unknown = run(files["record"], "--json")
    assert (unknown.exit_code, json.loads(unknown.stdout)["trusted"]) == (4, False)


@pytest.mark.parametrize(("name", "code"), [("changed", 6), ("text", 1), ("hub.pem", 1), ("missing", 2)])
def test_what_is_no_intact_record(files: dict[str, str], name: str, code: int) -> None:
    done = run(files.get(name, "/nowhere"))
    assert done.exit_code == code
    assert done.stdout == ""


def test_a_file_that_is_no_key(files: dict[str, str]) -> None:
    assert run(files["record"], "--key", files["text"]).exit_code == 1
