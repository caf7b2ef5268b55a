"""The shipped suites: the same items from the same seed, forever; right answers pass and wrong ones do not."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from seedstock.core.errors import NotFound
from seedstock.evaluation.catalogue import SUITES, get_suite
from seedstock.evaluation.items import Check, Item, items_digest
from seedstock.evaluation.scoring import CHECKS, judge

# A change here is another suite: raise its VERSION, and say so in the changelog.
DIGESTS = {
    "arithmetic": (1, "05bda550f0ab840d3650c06677bbe4643d5a785ec95a394d5fdd052727d3e5cd"),
    "instructions": (1, "09bbbb2c83f7d67243145b23baba97245448ce558023a72daf683c93606389da"),
}


@pytest.mark.parametrize("name", SUITES)
def test_items_follow_from_the_seed(name: str) -> None:
    suite = SUITES[name]
    assert (suite.version, suite.digest) == DIGESTS[name]
    longer, shorter = suite.generate(5, 60), suite.generate(5, 20)
    assert longer[:20] == shorter
    assert items_digest(shorter) != items_digest(suite.generate(6, 20))
    assert len({item.id for item in longer}) == 60
    assert {check.kind for item in longer for check in item.checks} <= set(CHECKS)
    assert [judge(item, "")[0] for item in longer] == [0.0] * 60


def test_arithmetic_is_right_where_it_can_be_computed_again() -> None:
    plain = 0
    for item in SUITES["arithmetic"].generate(3, 500):
        assert judge(item, f"So the sum is 12345678.\nAnswer: {item.target}")[0] == 1.0
        assert judge(item, f"Answer: {int(item.target) + 1}")[0] == 0.0
        asked = re.match(r"What is ([\d ×+-]+)\?", item.prompt)
        if asked:
            plain += 1
            assert eval(asked[1].replace("×", "*")) == int(item.target)
    assert plain > 200


def test_stories_of_arithmetic_have_whole_sensible_answers() -> None:
    for item in SUITES["arithmetic"].generate(11, 2000):
        if not item.prompt.startswith("What is"):
            assert int(item.target) >= 0, item.prompt
        share = re.search(
            r"collects (\d+) \w+ a day for (\d+) days, loses (\d+) of them.*among (\d+)", item.prompt
        )
        if share:
            each, days, lost, friends = map(int, share.groups())
            assert (each * days - lost) % friends == 0
            assert (each * days - lost) // friends == int(item.target)
            assert lost < each * days


ANSWERS: list[tuple[Check, str, str]] = [
    (Check("most_words", number=3), "one two-and three", "one two three four"),
    (Check("least_words", number=3), "one two three", "one two"),
    (Check("bullets", number=2), "- a\n- b", "- a\n- b\n- c"),
    (Check("numbered", number=3), "1. a\n2. b\n3. c", "1. a\n3. b\n2. c"),
    (Check("paragraphs", number=2), "a b\n***\nc", "a b\n\nc"),
    (Check("title"), "<<A title>>\ntext", "<< >> text"),
    (Check("quoted"), '"all of it"', '"all" of it'),
    (Check("json_keys", texts=("a", "b")), '```json\n{"a": "x", "b": "y"}\n```', '{"a": "x", "b": 1}'),
    (Check("include", texts=("wind", "stone")), "Wind and stone.", "Window and stone"),
    (Check("exclude", texts=("is",)), "This island.", "It is."),
    (Check("no_commas"), "a b", "a, b"),
    (Check("lower"), "a b 1", "A b"),
    (Check("upper"), "A B 1", "A b"),
    (Check("starts", text="Listen:"), "Listen: now", "Now listen:"),
    (Check("ends", text="The end."), "So. The end.", "The end. Bye."),
    (Check("exact", texts=("Paris",)), " paris. ", "Paris, France"),
    (Check("contains", texts=("New York", "NYC")), "In new  york, yes", "Newyork"),
    (Check("choice", text="C"), "A. no\nAnswer: C", "C is wrong. Answer: (B)"),
    (Check("number", text="1234"), "First 99. **Answer:** $1,234.", "1,2345"),
    (Check("number", text="65"), "The answer is 7 * 8 + 9 = 65 marbles", "Answer: 7 * 8 = 56"),
    (Check("number", text="-7"), "The answer is −7.00", "7"),
    (Check("number", text="3"), "It could be 1,2,3", "3 or 4"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "right", "wrong"), ANSWERS, ids=lambda value: getattr(value, "kind", ""))
def test_checks_on_hand_made_answers(check: Check, right: str, wrong: str) -> None:
    item = Item("0", "?", (check,))
    assert judge(item, right) == (1.0, (True,))
    assert judge(item, wrong) == (0.0, (False,))


def test_every_check_has_hand_made_answers() -> None:
    assert {check.kind for check, _, _ in ANSWERS} == set(CHECKS)


# For each kind of demand, a part that an answer is put together of; what it cannot be shown for stays out.
def written(item: Item) -> str:
    """An answer that meets the demands of an item of the instructions, written from its checks."""
    checks = {check.kind: check for check in item.checks}
    words = [*checks["include"].texts] if "include" in checks else []
    if "json_keys" in checks:
        keys = checks["json_keys"].texts
        return "{" + ", ".join(f'"{key}": "{" ".join(words) or "a"}"' for key in keys) + "}"
    filler = words + ["a"] * (checks["least_words"].number if "least_words" in checks else 2)
    text = " ".join(filler)
    if "bullets" in checks:
        text = "\n".join([f"- {text}"] + ["- b"] * (checks["bullets"].number - 1))
    if "numbered" in checks:
        text = "\n".join(f"{n + 1}. {text if n == 0 else 'b'}" for n in range(checks["numbered"].number))
    if "paragraphs" in checks:
        text = "\n***\n".join([text] + ["b"] * (checks["paragraphs"].number - 1))
    if "title" in checks:
        text = f"<<b>> {text}"
    if "starts" in checks:
        text = f"{checks['starts'].text}\n{text}"
    if "ends" in checks:
        text = f"{text}\n{checks['ends'].text}"
    if "quoted" in checks:
        text = f'"{text}"'
    return text.upper() if "upper" in checks else text.lower() if "lower" in checks else text


def test_all_demands_of_an_item_can_be_met_together() -> None:
    together = set()
    for item in SUITES["instructions"].generate(2, 900):
        answer = written(item)
        assert judge(item, answer)[0] == 1.0, (item.prompt, answer)
        together |= {frozenset(pair) for pair in combinations(sorted(check.kind for check in item.checks), 2)}
    assert len(together) > 50


def test_an_unknown_suite_names_those_there_are() -> None:
    with pytest.raises(NotFound) as error:
        get_suite("nothing")
    assert "arithmetic" in (error.value.hint or "")
