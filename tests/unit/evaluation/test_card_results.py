"""Results in cards: only `model-index` changes."""

from __future__ import annotations

import pytest
from huggingface_hub import ModelCard

from seedstock.core.errors import Invalid
from seedstock.evaluation.card_results import CardResult, with_result

RESULT = CardResult(
    "Seedstock arithmetic", "seedstock-arithmetic", "abc", {"seed": 0}, 0.5, {"stderr": 0.1},
    "Seedstock evaluation 3, by x", "http://hub/x",
)  # fmt: skip
CARD = """\
---
license: apache-2.0   # mine
tags: [a,  b]
model-index:
- name: Foo
  results:
  - task: {type: text-generation}
    dataset: {name: G, type: gsm8k, revision: 2020-01-01}
    metrics:
    - {type: acc, value: 0.1}

# kept
language:
   - en
---
# Hi

---
text
"""


def test_other_lines_stay_and_other_results_too() -> None:
    changed = with_result(CARD, "m", RESULT)
    assert changed.startswith("---\nlicense: apache-2.0   # mine\ntags: [a,  b]\nmodel-index:\n- name: Foo\n")
    assert changed.endswith("\n\n# kept\nlanguage:\n   - en\n---\n# Hi\n\n---\ntext\n")
    first, second = ModelCard(changed).data.eval_results or []
    assert (first.dataset_type, first.dataset_revision, first.metric_value) == ("gsm8k", "2020-01-01", 0.1)
    assert (second.dataset_type, second.metric_value, second.source_url) == (
        "seedstock-arithmetic",
        0.5,
        "http://hub/x",
    )
    assert with_result(changed, "m", RESULT) == changed


@pytest.mark.parametrize(
    "card",
    [
        "",
        "# x\n",
        "---\nlicense: mit\n---\n",
        "---\n---\nxx",
        "---\nlicense: mit\nmodel-index: []\n---\nb",
        "---\nmodel-index:\nlicense: mit\n---\n",
        "\ufeff---\nlicense: mit\n---\nüñ\n",
    ],
)
def test_a_card_without_results_gets_the_first(card: str) -> None:
    changed = with_result(card, "m", RESULT)
    assert [
        one.metric_value for one in ModelCard(changed.removeprefix("\ufeff")).data.eval_results or []
    ] == [0.5]
    assert with_result(changed, "m", RESULT) == changed


def test_line_ends_of_the_card_are_kept() -> None:
    changed = with_result("---\r\nlicense: mit\r\n---\r\nbody\r\n", "m", RESULT)
    assert changed.count("\n") == changed.count("\r\n") > 10


@pytest.mark.parametrize(
    "card",
    [
        "---\na: [\n---\n",
        "---\n{license: mit}\n---\n",
        "---\n- a\n---\n",
        "---\nmodel-index: text\n---\n",
        "---\nmodel-index: [1]\n---\n",
        "---\nmodel-index:\n- name: a\n  results: 3\n---\n",
        "---\nx: &a [1]\nmodel-index:\n- name: b\n  results: *a\n---\n",
        "---\nmodel-index: &a\n- name: b\n  results: []\ny: *a\n---\n",
        "---\nlicense: \udcff\n---\n",
    ],
)
def test_a_card_that_cannot_be_changed_safely_is_refused(card: str) -> None:
    with pytest.raises(Invalid, match=r"\AThe .*card"):
        with_result(card, "m", RESULT)
