import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.names import RepoType
from seedstock.metadata.card import parse_card, validate_yaml


def card(front: str, body: str = "text") -> str:
    return f"---\n{front}\n---\n{body}"


def test_tag_fields_keep_their_source_text_and_others_their_type():
    front = "language: no\nlicense: 1.0\ntags: [1.50, true, 2024-01-01]\nn: 1\nf: 1.5\nb: true\ny: yes\nd: 2024-01-01\ne:"
    assert parse_card(card(front)).data == {
        "language": "no",
        "license": "1.0",
        "tags": ["1.50", "true", "2024-01-01"],
        "n": 1,
        "f": 1.5,
        "b": True,
        "y": "yes",
        "d": "2024-01-01",
        "e": None,
    }


def test_body_follows_the_front_matter_whatever_the_line_ends():
    parsed = parse_card(b"\xef\xbb\xbf---\r\nlicense: mit\r\n---\r\n# Title\r\n")
    assert (parsed.data, parsed.body, parsed.problem) == ({"license": "mit"}, "# Title\n", None)
    assert parse_card("# No card\n---\n").body == "# No card\n---\n"
    assert parse_card("---\n---\nx").data == {}


@pytest.mark.parametrize(
    ("front", "line", "message"),
    [
        ("license: mit\ntags: [a", 4, None),
        ("a: 1\na: 2", 3, "duplicated key"),
        ("- a", 2, "not a mapping"),
        ("a: &x [*x]", 2, "alias"),
        ("a: " + "[" * 100, 2, "deeper"),
        ("a: !!python/object/apply:os.system [ls]", 2, "unknown tag"),
        ("a: !!python/name:os.system", 2, "unknown tag"),
        ("? [a]\n: b", 2, "key"),
    ],
)
def test_malformed_front_matter_is_an_empty_card_with_a_line(front, line, message):
    parsed = parse_card(card(front))
    assert (parsed.data, parsed.body) == ({}, "text")
    assert parsed.problem is not None
    assert parsed.problem.line == line
    assert message is None or message in parsed.problem.message


def test_aliases_work_and_bombs_do_not():
    assert parse_card(card("a: &a [x]\nb: *a")).data == {"a": ["x"], "b": ["x"]}
    levels = [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    parsed = parse_card(card("\n".join(["a0: &a0 [x]", *levels])))
    assert parsed.problem is not None
    assert "aliases" in parsed.problem.message


def test_oversized_front_matter_is_refused():
    assert "bytes" in str(parse_card(card("a: " + "x" * (2 << 20))).problem)


@given(st.text(max_size=200))
def test_any_text_parses_or_says_why(front):
    parsed = parse_card(card(front))
    assert parsed.problem is None or parsed.data == {}


@pytest.mark.parametrize(
    ("front", "errors", "warnings"),
    [
        ("license: mit\nlanguage: [en, zh-Hant]\ntags: a", 0, 0),
        ("license: {a: b}", 1, 0),
        ("license: mit\nlanguage: [[en]]\nbase_model: {a: 1}", 2, 0),
        ("license: mit\npipeline_tag: [a]", 1, 0),
        ("license: mit\nbase_model_relation: cousin", 1, 0),
        ("license: mit\nmodel-index: x", 1, 0),
        ("license: other", 0, 1),
        ("license: mit\nlanguage: english", 0, 1),
        ("tags: [a]", 0, 1),
        ("a: [", 1, 0),
    ],
)
def test_validate_yaml(front, errors, warnings):
    report = validate_yaml(card(front), RepoType.MODEL)
    assert (len(report.errors), len(report.warnings)) == (errors, warnings)


def test_validate_yaml_without_front_matter_warns():
    report = validate_yaml("# Title", RepoType.DATASET)
    assert report.warnings == ("empty or missing yaml metadata in repo card",)
    assert report.errors == ()
