import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import spdx_python_model
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from seedstock.openness.bom import cyclonedx_bom
from seedstock.openness.facts import (
    Ancestry,
    Dataset,
    Edge,
    Evidence,
    File,
    ModelFacts,
    Publisher,
    Recipe,
    Relation,
    Unknown,
    alone,
)
from seedstock.openness.licence_model import all_licences
from seedstock.openness.score import grade
from seedstock.openness.spdx_bom import spdx_bom
from tests.unit.openness.models import chain, model, weights

HUB = "http://127.0.0.1:8300"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
V1_6, V1_7 = JsonStrictValidator(SchemaVersion.V1_6), JsonStrictValidator(SchemaVersion.V1_7)
INDEX = [
    {
        "results": [
            {"dataset": {"name": "countdown"}, "metrics": [{"type": "pass@1", "value": 0.3}, {"value": "x"}]}
        ]
    }
]


def family() -> Ancestry:
    """A distilled merge with a known and an unknown parent, and one that the weights contradict."""
    held = weights()
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    metadata = {**held["metadata"], "config": config, "pipeline_tag": "text-generation", "model_index": INDEX}
    child = model(
        "lab/child", "mit", metadata=metadata, files=(*held["files"], File("config.json", 20, "cd" * 32), File("x", 1)),
        datasets=(Dataset("lab/traces", True, True, "cc-by-4.0", url="http://h/traces"), Dataset("far/set", evaluates=True)),
        recipe=Recipe(True, ("sft", "grpo"), digest="sha256:" + "0" * 64),
    )  # fmt: skip
    base = model(
        "meta-llama/Llama-3.1-8B", "llama3.1", publisher=Publisher("Meta", "US", "its profile"), **held
    )
    nodes = {"secret-1": child, "secret-2": base, "secret-3": Unknown("far/root"), "secret-4": Unknown()}
    edges = (
        Edge("secret-1", "secret-2", Relation.MERGE, Evidence.VERIFIED, "derived", "record-1"),
        Edge("secret-1", "secret-2", Relation.DISTILLED, Evidence.DECLARED),
        Edge("secret-2", "secret-3"),
        Edge("secret-2", "secret-4"),
        Edge("secret-1", "secret-5", evidence=Evidence.CONTRADICTED, record="record-2"),
    )
    return Ancestry("secret-1", nodes, edges)


def bills(ancestry: Ancestry, when: datetime = WHEN, hub: str = HUB) -> tuple[dict[str, Any], dict[str, Any]]:
    openness = grade(ancestry)
    fields: dict[str, Any] = {"made_at": when, "hub_url": hub}
    return cyclonedx_bom(ancestry, openness, **fields), spdx_bom(ancestry, openness, **fields)


def check_cyclonedx(bill: dict[str, Any]) -> None:
    text = json.dumps(bill, ensure_ascii=False)
    assert V1_6.validate_str(text) is None
    assert V1_7.validate_str(json.dumps({**bill, "specVersion": "1.7"})) is None
    refs = _refs(bill)
    assert len(refs) == len(set(refs))
    for entry in bill["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= set(refs)
    text.encode()  # no half characters


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["bom-ref"]] if "bom-ref" in value else []
        return own + [ref for item in value.values() for ref in _refs(item)]
    return [ref for item in value for ref in _refs(item)] if isinstance(value, list) else []


def check_spdx(bill: dict[str, Any]) -> Any:
    """Read by the official bindings (types, enumerations, patterns), resolved, and written again (cardinalities)."""
    spdx, found = spdx_python_model.load_data(json.loads(json.dumps(bill)))
    assert found.link() <= {"https://spdx.org/rdf/3.0.1/terms/Licensing/NoAssertion"}
    written = spdx.JSONLDSerializer().serialize_data(found)
    assert len(written["@graph"]) == len(bill["@graph"])
    return found


def properties(component: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["name"], item["value"]) for item in component["properties"]]


def test_cyclonedx_of_a_family() -> None:
    bill, _ = bills(family())
    check_cyclonedx(bill)
    subject = bill["metadata"]["component"]
    assert subject["purl"] == f"pkg:huggingface/lab/child@{'a' * 40}?repository_url=http://127.0.0.1:8300"
    assert [item["name"] for item in subject["components"]] == ["config.json", "model.safetensors"]
    assert subject["components"][1]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert subject["licenses"] == [{"license": {"id": "MIT"}}]
    card = subject["modelCard"]
    assert card["modelParameters"]["architectureFamily"] == "llama"
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "pass@1", "value": "0.3", "slice": "countdown"}
    ]
    assert [item["name"] for item in subject["pedigree"]["ancestors"]] == ["Llama-3.1-8B"]
    found = dict(properties(subject))
    assert (found["hub:licenceVerdict"], found["hub:effectiveClass"]) == ("relabelled", "none")
    base = next(item for item in bill["components"] if item["name"] == "Llama-3.1-8B")
    assert base["publisher"] == "Meta"
    assert ("hub:publisherCountry", "US") in properties(base)
    assert base["licenses"][0]["license"]["name"] == "Llama 3.1 Community License"


def test_unknown_parents_are_listed_and_keys_never_are() -> None:
    for bill in bills(family()):
        text = json.dumps(bill)
        assert "secret" not in text
        assert "record-2" in text
    bill, _ = bills(family())
    unknown = [item for item in bill["components"] if ("hub:known", "false") in properties(item)]
    assert [item["name"] for item in unknown if item["type"] != "data"] == [
        "root",
        "a model that is not known here",
    ]
    assert bill["compositions"] == [{"aggregate": "unknown", "dependencies": ["unknown-2", "unknown-3"]}]


def test_edges_keep_their_evidence() -> None:
    bill, graph = bills(family())
    edges = [
        json.loads(value) for name, value in properties(bill["metadata"]["component"]) if name == "hub:edge"
    ]
    assert {(edge["evidence"], edge["relation"]) for edge in edges} == {
        ("verified", "merge"), ("declared", "distilled"), ("contradicted", "finetune"),
    }  # fmt: skip
    kinds = [item["relationshipType"] for item in graph["@graph"] if item["type"] == "Relationship"]
    assert kinds.count("descendantOf") == 3
    assert {"trainedOn", "testedOn", "hasDeclaredLicense", "contains", "other"} <= set(kinds)
    assert [item["annotationType"] for item in graph["@graph"] if item["type"] == "Annotation"] == ["review"]


def test_a_contradicted_tie_is_none_even_to_a_true_ancestor() -> None:
    nodes = {name: model(f"lab/{name}", "mit") for name in "abc"}
    edges = [("a", "b", Evidence.VERIFIED), ("b", "c", Evidence.VERIFIED), ("a", "c", Evidence.CONTRADICTED)]
    ties = tuple(Edge(child, parent, evidence=evidence) for child, parent, evidence in edges)
    bill, graph = bills(Ancestry("a", nodes, ties))
    assert [len(entry["dependsOn"]) for entry in bill["dependencies"]] == [1, 1, 0]
    assert [item["name"] for item in bill["metadata"]["component"]["pedigree"]["ancestors"]] == ["b"]
    kinds = [item.get("relationshipType") for item in graph["@graph"]]
    assert (kinds.count("descendantOf"), check_spdx(graph) is not None) == (2, True)


def test_spdx_of_a_family() -> None:
    _, bill = bills(family())
    found = check_spdx(bill)
    types = sorted(type(item).__name__ for item in found.foreach())
    assert types.count("ai_AIPackage") == 4
    assert types.count("dataset_DatasetPackage") == 2
    document = next(item for item in bill["@graph"] if item["type"] == "SpdxDocument")
    assert "ai" not in document["profileConformance"]  # unknown parents lack what that profile asks for
    alone_bill = bills(alone(model("lab/m", "mit", released_at="2026-01-01T00:00:00Z")))[1]
    check_spdx(alone_bill)
    assert "ai" in next(item for item in alone_bill["@graph"] if item["type"] == "Bom")["profileConformance"]


def test_the_same_facts_give_the_same_bill_and_other_facts_another() -> None:
    first, again, later = bills(family()), bills(family()), bills(family(), LATER)
    assert first == again
    assert first[0]["serialNumber"] == later[0]["serialNumber"]
    assert first[0]["metadata"]["timestamp"] == "2026-01-02T03:04:05Z"
    assert first[1]["@graph"][1]["spdxId"] == later[1]["@graph"][1]["spdxId"]
    ancestry = family()
    turned = Ancestry(ancestry.root, dict(reversed(ancestry.nodes.items())), ancestry.edges[::-1])
    assert bills(turned) == first
    other = bills(chain(model("lab/child", "mit")))
    assert other[0]["serialNumber"] != first[0]["serialNumber"]


@pytest.mark.parametrize(
    "licence", [item.id for item in all_licences()] + ["mit OR gemma", "zlib", "nonsense", "other"]
)
def test_every_licence_is_valid_in_both(licence: str) -> None:
    cyclonedx, spdx = bills(alone(model("lab/m", licence)))
    check_cyclonedx(cyclonedx)
    check_spdx(spdx)


def test_numbers_that_are_none_and_files_beyond_the_limit() -> None:
    values = [float("nan"), float("inf"), 10**400, True, "1", None, 0.5]
    index = [{"results": [{"metrics": [{"type": "acc", "value": value} for value in values]}]}]
    files = tuple(File(f"f{number}", 1, "ab" * 32) for number in range(2005))
    bill, spdx = bills(alone(model("lab/m", "mit", files=files, metadata={"model_index": index})))
    check_cyclonedx(bill)
    check_spdx(spdx)
    subject = bill["metadata"]["component"]
    assert [item["value"] for item in subject["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]] == [
        "0.5"
    ]
    assert len(subject["components"]) == 2000
    assert ("hub:filesLeftOut", "5") in properties(subject)


def test_the_checks_themselves_can_fail() -> None:
    cyclonedx, spdx = bills(family())
    cyclonedx["components"][0]["modelCard"]["modelParameters"]["approach"] = {"type": "magic"}
    with pytest.raises(AssertionError):
        check_cyclonedx(cyclonedx)
    package = next(item for item in spdx["@graph"] if item["type"] == "ai_AIPackage")
    del package["creationInfo"]
    with pytest.raises(Exception, match="creationInfo"):
        check_spdx(spdx)
    with pytest.raises(Exception, match="SoftwarePurpose"):
        check_spdx(
            {**spdx, "@graph": [{**package, "creationInfo": "_:c", "software_primaryPurpose": "magic"}]}
        )


ODD = st.text(max_size=40)
MODELS = st.builds(
    lambda repo, commit, name, licence, path, data, organisation, tag: msgspec.structs.replace(
        model(repo, licence, files=(File(path, 1, "ab" * 32),), card={"license_name": name}, metadata={"pipeline_tag": tag}),
        commit=commit, readable_name=name, datasets=(Dataset(data, url=data), Dataset(data + "x", True, license=licence)),
        publisher=Publisher(organisation, organisation, organisation), recipe=Recipe(True, (tag, "sft"), digest=path),
    ),
    ODD, ODD, st.none() | ODD, st.sampled_from(["mit", "other", "gemma", None]) | ODD, ODD, ODD, ODD, ODD,
)  # fmt: skip
NODES = st.one_of(MODELS, st.builds(Unknown, st.none() | ODD))


@settings(max_examples=40)
@given(
    MODELS,
    st.lists(NODES, max_size=2),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from(Evidence))),
    ODD,
)
def test_any_names_give_valid_bills(
    root: ModelFacts, others: list[Any], edges: list[tuple[int, int, Evidence]], verdict: str
) -> None:
    nodes = {str(n): node for n, node in enumerate([root, *others])}
    tied = tuple(Edge(str(a), str(b), Relation.MERGE, evidence, verdict, verdict) for a, b, evidence in edges)
    cyclonedx, spdx = bills(Ancestry("0", nodes, tied))
    check_cyclonedx(cyclonedx)
    check_spdx(spdx)


def test_half_characters_and_controls_are_replaced() -> None:
    cyclonedx, spdx = bills(alone(model("lab/m\x00\ud800\x1b[2J", "mit", readable_name="\ud800")))
    check_cyclonedx(cyclonedx)
    check_spdx(spdx)
