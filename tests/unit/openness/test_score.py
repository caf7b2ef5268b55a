import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.metadata.summary import RepoMetadata
from seedstock.metadata.weights import FileProblem
from seedstock.openness.bom import cyclonedx_bom
from seedstock.openness.canonical import canonical_json
from seedstock.openness.card_text import card_sections, prose
from seedstock.openness.component_model import Ground, Rating, State
from seedstock.openness.components import detect
from seedstock.openness.facts import (
    Confirmation,
    Dataset,
    Evidence,
    File,
    ModelFacts,
    Recipe,
    Replication,
    Unknown,
    alone,
)
from seedstock.openness.osaid import Answer
from seedstock.openness.own_licence import read_own_licence
from seedstock.openness.score import Badge, Klass, grade
from tests.unit.openness.models import CARD, MIT, chain, model, weights

RECIPE = Recipe(True, ("sft", "grpo", "eval"), True, True, "sha256:" + "0" * 64)
DATA = Dataset("lab/traces", True, True, "cc-by-4.0")


def complete(repo: str = "lab/full", licence: str = "openmdw-1.0", **changes: Any) -> ModelFacts:
    """A model with all that class I asks for."""
    held = weights()
    metadata = RepoMetadata(
        card_data={"license": licence},
        tags=("arxiv:2501.12948",),
        library_name="transformers",
        config={"model_type": "llama"},
        model_index=[{"results": [{"metrics": [{"type": "acc", "value": 0.3}]}]}],
        **held["metadata"],
    )
    files = (*held["files"], File("checkpoint-100/model.safetensors", 4096), File("report.pdf", 90_000))
    facts = ModelFacts(repo, "a" * 40, metadata, card_body=CARD, files=files, datasets=(DATA,), recipe=RECIPE)
    return msgspec.structs.replace(facts, **changes)


def ratings(facts: ModelFacts) -> dict[str, Rating]:
    return {item.component.id: item for item in detect(facts, read_own_licence(facts))}


def states(facts: ModelFacts) -> dict[str, State]:
    return {name: item.state for name, item in ratings(facts).items()}


def test_a_model_with_everything_is_class_one() -> None:
    found = grade(alone(complete()))
    assert (found.own_class, found.effective_class, found.next_class) == (Klass.I, Klass.I, None)
    assert found.weights is Badge.OPEN_WEIGHT
    assert found.verification.level == 1
    assert not found.open_science
    assert "evaluation-results" in found.rests_on_declared


@pytest.mark.parametrize(
    ("outcome", "independent", "level"),
    [
        (Replication.FUNCTIONAL, False, 2),
        (Replication.WITHIN_TOLERANCE, False, 3),
        (Replication.WITHIN_TOLERANCE, True, 4),
        (Replication.BIT_EXACT, False, 4),
    ],
)
def test_open_science_is_class_one_and_reproduced(
    outcome: Replication, independent: bool, level: int
) -> None:
    recipe = msgspec.structs.replace(RECIPE, replication=outcome, independent=independent)
    found = grade(alone(complete(recipe=recipe)))
    assert (found.verification.level, found.open_science) == (level, level >= 3)
    unresolved = msgspec.structs.replace(recipe, resolves=False)
    assert grade(alone(complete(recipe=unresolved))).verification.level == 0


@pytest.mark.parametrize(
    ("change", "klass", "lacks"),
    [
        ({"datasets": ()}, Klass.NONE, "data-card"),
        ({"files": ()}, Klass.NONE, "parameters"),
        ({"card_body": ""}, Klass.NONE, "model-card"),
        ({"recipe": None}, Klass.III, "training-code"),
        (
            {"recipe": msgspec.structs.replace(RECIPE, evaluation_data_resolves=False)},
            Klass.III,
            "evaluation-data",
        ),
        ({"recipe": msgspec.structs.replace(RECIPE, has_generator=False)}, Klass.II, "preprocessing-code"),
        ({"datasets": (msgspec.structs.replace(DATA, gated=True),)}, Klass.II, "datasets"),
        ({"datasets": (msgspec.structs.replace(DATA, license="cc-by-nc-4.0"),)}, Klass.II, "datasets"),
        ({"datasets": (msgspec.structs.replace(DATA, license=None),)}, Klass.II, "datasets"),
    ],
)
def test_each_lost_component_lowers_the_class_and_is_named(
    change: dict[str, Any], klass: Klass, lacks: str
) -> None:
    found = grade(alone(complete(**change)))
    assert found.own_class is klass
    assert lacks in {item.component.id for item in found.missing}


def test_the_osaid_checklist() -> None:
    assert grade(alone(complete(licence="apache-2.0"))).osaid.answer is Answer.MEETS
    answers = [item.answer for item in grade(alone(complete(licence="openmdw-1.0"))).osaid.items]
    assert answers == [Answer.MEETS, Answer.NEEDS_HUMAN, Answer.MEETS]  # open, but not approved by the OSI
    away = complete(licence="mit", datasets=(Dataset("far/away"),))
    assert grade(alone(away)).osaid.items[0].answer is Answer.NEEDS_HUMAN
    assert grade(alone(complete(licence="mit", datasets=()))).osaid.items[0].answer is Answer.DOES_NOT


def test_a_paper_replaces_the_report() -> None:
    no_report = complete(files=tuple(file for file in complete().files if file.path != "report.pdf"))
    assert grade(alone(no_report)).own_class is Klass.I


def test_a_licence_of_the_wrong_type_counts_with_advice() -> None:
    rated = ratings(complete(licence="apache-2.0"))
    assert rated["parameters"].state is State.OPEN_WRONG_TYPE
    assert "not written for data" in rated["parameters"].text
    assert rated["training-code"].state is State.OPEN
    assert grade(alone(complete(licence="apache-2.0"))).own_class is Klass.I


@pytest.mark.parametrize("licence", ["llama3.1", "gemma", "openrail", "cc-by-nc-4.0", "cc-by-nd-4.0"])
def test_licences_that_are_not_open(licence: str) -> None:
    found = grade(alone(complete(licence=licence)))
    assert (found.own_class, found.weights) == (Klass.NONE, Badge.WEIGHTS_AVAILABLE)
    assert found.osaid.answer is Answer.DOES_NOT


@pytest.mark.parametrize("licence", ["other", "unknown", "my-terms"])
def test_unknown_licences_are_unknown_and_not_open(licence: str) -> None:
    found = grade(alone(complete(licence=licence)))
    assert (found.own_class, found.weights) == (Klass.NONE, Badge.WEIGHTS_AVAILABLE)
    assert states(complete(licence=licence))["parameters"] is State.UNKNOWN
    assert found.osaid.answer is Answer.NEEDS_HUMAN


def test_a_licence_file_for_one_kind_of_material() -> None:
    split = complete(licence="llama3.1", licence_texts={"LICENSE-CODE": MIT})
    rated = states(split)
    assert (rated["training-code"], rated["parameters"]) == (State.OPEN, State.PRESENT_NOT_OPEN)


def test_the_class_is_capped_by_what_the_model_is_built_on() -> None:
    closed = complete("lab/base", recipe=None)
    found = grade(chain(complete(), closed))
    assert (found.own_class, found.effective_class) == (Klass.I, Klass.III)
    assert found.explanation == "full: class I by itself; class III with what it is built on, because of base"
    assert found.capped_by == ("full", "base")
    declared = grade(chain(complete(), closed, evidence=Evidence.DECLARED))
    assert declared.effective_class is Klass.III
    contradicted = grade(chain(complete(), closed, evidence=Evidence.CONTRADICTED))
    assert contradicted.effective_class is Klass.I


def test_a_base_outside_the_hub_is_unknown_and_not_open() -> None:
    found = grade(chain(complete(), Unknown("far/base")))
    assert found.effective_class is Klass.UNKNOWN
    assert not found.open_science
    worse = grade(chain(complete(), model("lab/base", "mit"), Unknown("far/base")))
    assert worse.effective_class is Klass.NONE


def test_a_relabelled_licence_opens_no_weights() -> None:
    base = model("meta-llama/Llama-3.1-8B", "llama3.1")
    for evidence in (Evidence.VERIFIED, Evidence.DECLARED):
        found = grade(chain(complete("lab/R1-Distill", "mit"), base, evidence=evidence))
        assert found.weights is Badge.WEIGHTS_AVAILABLE
        assert "requires Llama terms" in found.weights_reason
        assert found.own_class is Klass.NONE


def test_a_person_fills_gaps_but_does_not_outweigh_what_is_seen() -> None:
    word = Confirmation("ada", "https://example.org/tokeniser", "apache-2.0")
    facts = complete(
        recipe=msgspec.structs.replace(RECIPE, has_generator=False), confirmations={14: word, 2: word}
    )
    assert ratings(facts)["preprocessing-code"].ground is Ground.CONFIRMED
    assert grade(alone(facts)).own_class is Klass.I
    closed = ratings(complete(licence="llama3.1", confirmations={2: word}))
    assert closed["parameters"].state is State.PRESENT_NOT_OPEN


def test_links_outside_are_unknown_until_someone_confirms_them() -> None:
    linked = complete(recipe=None, card_body=CARD + "\nhttps://github.com/lab/code/tree/" + "c" * 40)
    assert ratings(linked)["training-code"].state is State.UNKNOWN
    floating = complete(recipe=None, card_body=CARD + "\nhttps://github.com/lab/code")
    assert ratings(floating)["training-code"].state is State.MISSING


@pytest.mark.parametrize(
    "body",
    [
        "",
        "# Intended use\n# Limitations\n# Training\n# Evaluation\n" + "x" * 3000,
        "# Intended use\n[More Information Needed]\n" * 80,
        "# Intended use\n\n# Limitations\n\n# Training\n\n# Evaluation\n\n" + "word " * 900,
        "\n".join(f"# {name}\nThe very same sentence stands under each of these headings, again and again, for length."
                  for name in ("Use", "Limitations", "Training", "Evaluation")) * 9,
        "<!-- " + CARD + " -->",
        "```\n" + CARD.replace("```", "") + "\n```",
    ],
)  # fmt: skip
def test_padded_cards_are_no_cards(body: str) -> None:
    assert states(complete(card_body=body))["model-card"] is State.MISSING


def test_empty_files_and_unread_weights_do_not_count() -> None:
    facts = complete(
        files=(File("train.py", 3), File("x.pdf", 10), File("model.safetensors", 0)), recipe=None
    )
    rated = states(facts)
    assert rated["training-code"] is State.MISSING
    assert rated["parameters"] is State.MISSING
    broken = msgspec.structs.replace(
        complete().metadata, problems=(FileProblem("model.safetensors", "not read"),)
    )
    assert states(complete(metadata=broken))["parameters"] is State.MISSING


def test_results_need_a_number() -> None:
    for index in (
        [],
        [{}],
        [{"results": [{"metrics": [{"value": "best"}]}]}],
        [{"results": {"metrics": 3}}],
        ["x"],
    ):
        metadata = msgspec.structs.replace(complete().metadata, model_index=index)
        assert states(complete(metadata=metadata))["evaluation-results"] is State.MISSING


@pytest.mark.parametrize(
    "tag", ["arxiv:../../x", "arxiv:12", "https://evil.example/arxiv.org/abs/2501.12948", "arxiv:"]
)
def test_a_paper_needs_a_real_id(tag: str) -> None:
    metadata = msgspec.structs.replace(complete().metadata, tags=(tag,))
    assert states(complete(metadata=metadata))["research-paper"] is State.MISSING


def test_sections_are_told_by_heading_and_content() -> None:
    assert card_sections(CARD) == ["intended use", "limitations", "training", "evaluation"]
    assert "AutoModel" not in prose(CARD)


@pytest.mark.parametrize(
    "unit",
    [
        "<!--",
        "```",
        "](",
        "# ",
        "[more ",
        "https://github.com/",
        "doi:10.1234/",
        "helm ",
        "# a\n",
        "<!-- -->",
    ],
)
def test_hostile_cards_take_linear_time(unit: str) -> None:
    body = unit * (300_000 // len(unit))
    started = time.process_time()
    grade(alone(complete(card_body=body)))
    assert time.process_time() - started < 5  # one quadratic pattern took minutes


def test_ten_thousand_ancestors() -> None:
    started = time.process_time()
    found = grade(chain(*(model(f"lab/m{n}", "mit") for n in range(10_000))))
    assert found.effective_class is Klass.NONE
    assert time.process_time() - started < 20


FIELDS = st.sampled_from(["license", "license_name", "widget", "output", "paper", "results", "metrics", "value",
                          "dataset", "name", "architectures", "model_type", "model-index"])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=15,
)


@given(
    st.dictionaries(FIELDS, JSON),
    st.dictionaries(FIELDS, JSON),
    st.lists(JSON, max_size=3),
    st.text(max_size=200),
)
def test_any_card_is_graded(
    card: dict[str, Any], config: dict[str, Any], index: list[Any], body: str
) -> None:
    metadata = RepoMetadata(card_data=card, config=config, model_index=index, tags=(body,))
    ancestry = alone(ModelFacts(body, body, metadata, card_body=body, files=(File(body, -1),)))
    openness = grade(ancestry)
    assert len(openness.components) == 17
    assert openness.own_class is Klass.NONE
    assert msgspec.json.decode(msgspec.json.encode(openness))["own_class"] == "none"
    bom = cyclonedx_bom(ancestry, openness, made_at=datetime(2026, 1, 1, tzinfo=UTC), hub_url="http://h")
    assert canonical_json(bom)
