import itertools
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.openness.assess import assess
from seedstock.openness.facts import Ancestry, Edge, Evidence, ModelFacts, Relation, Unknown, alone
from seedstock.openness.licence_model import Duty
from seedstock.openness.licence_report import DISCLAIMER, LicenceReport, Permission, Status
from tests.unit.openness.models import APACHE, LLAMA31, LLAMA31_NOTICE, MIT, bases, chain, model

LLAMA = model("meta-llama/Llama-3.1-8B", "llama3.1")
R1 = model("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "mit")
GOOD_LLAMA = model(
    "lab/Llama-3.1-8B-Norsk",
    "llama3.1",
    card_body="Built with Llama, from Llama-3.1-8B.",
    licence_texts={"LICENSE": LLAMA31, "NOTICE": LLAMA31_NOTICE},
)


def rules(report: LicenceReport) -> set[str]:
    return {finding.rule for finding in report.findings}


def test_the_worked_case() -> None:
    report = assess(chain(R1, LLAMA))
    assert report.status is Status.RELABELLED
    assert report.headline == (
        "DeepSeek-R1-Distill-Llama-8B: declares MIT; base Llama-3.1-8B requires Llama terms and a name starting with Llama"
    )
    first = report.findings[0]
    assert first.path == ("DeepSeek-R1-Distill-Llama-8B", "Llama-3.1-8B")
    assert (first.clause, first.source) == (
        "Llama 3.1 Community License, sections 1.a, 1.b.i and 5",
        "https://www.llama.com/llama3_1/license/",
    )
    assert first.record == "record-0"
    assert rules(report) == {"same-terms", "licence-copy", "notice-file", "name-prefix", "display"}
    assert report.disclaimer == DISCLAIMER
    assert report.permissions.commercial_use is Permission.LIMITED
    assert {item.duty for item in report.obligations} >= {
        Duty.MAU_CAP,
        Duty.USE_RESTRICTIONS,
        Duty.NAME_PREFIX,
    }


def test_a_declared_edge_asserts_nothing_and_is_told_apart() -> None:
    report = assess(chain(R1, LLAMA, evidence=Evidence.DECLARED))
    assert report.findings == ()
    assert (report.status, report.if_declared) == (Status.UNKNOWN, Status.RELABELLED)
    assert report.headline.startswith("if what its card declares is true: ")
    assert all(not item.asserted for item in report.obligations)
    assert report.permissions.commercial_use is Permission.YES
    assert report.permissions_if_declared.commercial_use is Permission.LIMITED


def test_a_contradicted_edge_passes_nothing_on() -> None:
    ancestry = chain(R1, LLAMA, evidence=Evidence.CONTRADICTED)
    report = assess(ancestry)
    assert (report.status, report.if_declared) == (Status.OK, Status.OK)
    assert report.obligations == ()
    assert report.contradicted == ("record-0",)


def test_a_contradiction_outweighs_the_declaration() -> None:
    edges = (Edge("a", "b"), Edge("a", "b", evidence=Evidence.CONTRADICTED, record="r"))
    report = assess(Ancestry("a", {"a": R1, "b": LLAMA}, edges))
    assert (report.if_declared, report.contradicted) == (Status.OK, ("r",))


def test_declared_edges_lift_a_lesser_fault_to_unknown() -> None:
    nodes = {"a": R1, "b": model("lab/b", "mit"), "c": LLAMA}
    edges = (Edge("a", "b", evidence=Evidence.VERIFIED), Edge("a", "c"))
    report = assess(Ancestry("a", nodes, edges))
    assert (report.status, report.if_declared) == (Status.UNKNOWN, Status.RELABELLED)
    assert report.headline.startswith("if what its card declares is true")
    assert [finding.rule for finding in report.findings] == ["notice"]


def test_a_variant_that_keeps_every_duty_is_ok() -> None:
    report = assess(chain(GOOD_LLAMA, LLAMA))
    assert report.findings == ()
    assert report.status is Status.OK


@pytest.mark.parametrize(
    ("lost", "rule"),
    [
        ({"licence_texts": {"NOTICE": LLAMA31_NOTICE}}, "licence-copy"),
        ({"licence_texts": {"LICENSE": LLAMA31}}, "notice-file"),
        ({"card_body": ""}, "display"),
        ({"repo": "lab/Norsk-8B"}, "name-prefix"),
    ],
)
def test_each_lost_duty_is_named(lost: dict[str, object], rule: str) -> None:
    report = assess(chain(msgspec.structs.replace(GOOD_LLAMA, **lost), LLAMA))
    assert (report.status, rules(report)) == (Status.NOTICE_MISSING, {rule})


def test_a_private_repo_has_no_fault_until_it_is_passed_on() -> None:
    report = assess(chain(msgspec.structs.replace(GOOD_LLAMA, card_body="", private=True), LLAMA))
    assert report.status is Status.OK
    assert "once it is passed on" in report.findings[0].text


@pytest.mark.parametrize(
    ("parent", "child", "status", "rule"),
    [
        ("cc-by-nc-4.0", "apache-2.0", Status.RELABELLED, "noncommercial"),
        ("cc-by-nc-4.0", "cc-by-nc-4.0", Status.NOTICE_MISSING, "attribution"),
        ("cc-by-sa-4.0", "mit", Status.RELABELLED, "share-alike"),
        ("cc-by-sa-3.0", "cc-by-sa-4.0", Status.NOTICE_MISSING, "attribution"),
        ("openrail", "mit", Status.RELABELLED, "use-restrictions"),
        ("openrail", "bigscience-openrail-m", Status.OK, None),
        ("gpl-3.0", "mit", Status.RELABELLED, "copyleft"),
        ("gpl-3.0", "gpl-3.0-or-later", Status.NOTICE_MISSING, "licence-copy"),
        ("gemma", "apache-2.0", Status.RELABELLED, "same-terms"),
        ("cc-by-nd-4.0", "cc-by-nd-4.0", Status.CONFLICT, "no-derivatives"),
        ("mit", "cc-by-nc-4.0", Status.NOTICE_MISSING, "notice"),
        ("apache-2.0 OR llama3.1", "apache-2.0", Status.NOTICE_MISSING, "licence-copy"),
        ("unlicense", "llama3.1", Status.OK, None),
        ("other", "mit", Status.UNKNOWN, "terms-unknown"),
        ("exaone-ai-model-1.1-nc", "mit", Status.UNKNOWN, "terms-unknown"),
    ],
)
def test_the_table_of_upstream_licences(parent: str, child: str, status: Status, rule: str | None) -> None:
    report = assess(chain(model("lab/child", child), model("lab/parent", parent)))
    assert report.status is status
    assert (report.findings[0].rule if report.findings else None) == rule


def test_copyleft_on_weights_needs_a_person() -> None:
    assert assess(chain(model("lab/c", "mit"), model("lab/p", "gpl-3.0"))).findings[0].needs_human


@pytest.mark.parametrize("name", [None, "far/away"])
def test_an_unknown_parent_never_gives_ok(name: str | None) -> None:
    report = assess(chain(model("lab/c", "mit"), Unknown(name)))
    assert report.status is Status.UNKNOWN
    assert report.permissions.commercial_use is Permission.UNKNOWN
    assert ("away" in report.headline) == (name is not None)
    declared = assess(chain(model("lab/c", "mit"), Unknown(name), evidence=Evidence.DECLARED))
    assert (declared.status, declared.if_declared) == (Status.UNKNOWN, Status.UNKNOWN)


def test_an_own_licence_that_is_not_known() -> None:
    for licence in (None, "other", "my-terms"):
        assert assess(alone(model("lab/c", licence))).status is Status.UNKNOWN
    read = assess(alone(model("lab/c", "other", licence_texts={"LICENSE": MIT})))
    assert (read.status, read.declared.expression) == (Status.OK, "MIT")


def test_card_against_licence_file() -> None:
    report = assess(alone(model("lab/c", "mit", licence_texts={"LICENSE": APACHE})))
    assert report.status is Status.CONFLICT
    assert report.headline == "c: the card says MIT, but LICENSE holds the text of Apache-2.0"
    both = model("lab/c", "mit OR apache-2.0", licence_texts={"LICENSE-MIT": MIT, "LICENSE-APACHE": APACHE})
    assert assess(alone(both)).status is Status.OK
    added = model("lab/c", "mit", licence_texts={"LICENSE": MIT + "Non-commercial use only."})
    assert (assess(alone(added)).status, assess(alone(added)).findings[0].needs_human) == (
        Status.UNKNOWN,
        True,
    )


def test_a_relabelled_step_between_does_not_free_what_follows() -> None:
    report = assess(chain(model("lab/copy", "mit"), R1, LLAMA))
    assert report.status is Status.RELABELLED
    assert report.findings[0].path == ("copy", "DeepSeek-R1-Distill-Llama-8B", "Llama-3.1-8B")


def test_outputs_carry_the_duties_that_say_so() -> None:
    student = model("lab/Student", "mit", licence_texts={"LICENSE": MIT})
    taught = assess(chain(student, LLAMA, relation=Relation.DISTILLED))
    assert (taught.status, rules(taught)) == (Status.NOTICE_MISSING, {"name-prefix"})
    assert "teacher Llama-3.1-8B" in taught.findings[0].text
    forbidden = assess(chain(student, model("meta-llama/Llama-2-7b", "llama2"), relation=Relation.DISTILLED))
    assert (forbidden.status, rules(forbidden)) == (Status.CONFLICT, {"no-train-others"})
    free = assess(chain(student, model("lab/T", "cc-by-nc-4.0"), relation=Relation.DISTILLED))
    assert free.status is Status.OK


def merge(*licences: str, own: str = "mit") -> LicenceReport:
    nodes: dict[str, ModelFacts] = {"m": model("lab/merge", own)}
    nodes |= {str(n): model(f"lab/part-{n}", licence) for n, licence in enumerate(licences)}
    edges = [Edge("m", str(n), Relation.MERGE, Evidence.VERIFIED) for n in range(len(licences))]
    return assess(Ancestry("m", nodes, tuple(edges)))


@pytest.mark.parametrize(
    ("licences", "clash"),
    [
        (("cc-by-sa-4.0", "cc-by-nc-4.0"), True),
        (("cc-by-sa-4.0", "cc-by-nc-sa-4.0"), True),
        (("gpl-3.0", "openrail"), True),
        (("llama2", "gemma"), True),
        (("mit", "apache-2.0"), False),
        (("cc-by-sa-3.0", "cc-by-sa-4.0"), False),
        (("mit", "gpl-3.0"), False),
    ],
)
def test_upstream_duties_that_cannot_both_hold(licences: tuple[str, str], clash: bool) -> None:
    for order in itertools.permutations(licences):
        found = [finding for finding in merge(*order).findings if finding.rule == "upstream-conflict"]
        assert bool(found) == clash
        assert all("part-0" in finding.text and "part-1" in finding.text for finding in found)


def test_permissions_are_the_least_and_obligations_the_union() -> None:
    report = merge("llama3.1", "cc-by-nc-4.0", "mit")
    assert report.permissions.commercial_use is Permission.NO
    assert {item.licence for item in report.obligations} == {
        "Llama 3.1 Community License",
        "CC-BY-NC-4.0",
        "MIT",
    }


def test_a_diamond_reports_its_root_once() -> None:
    nodes = {name: model(f"lab/{name}", "mit", licence_texts={"LICENSE": MIT}) for name in "abc"} | {
        "root": LLAMA
    }
    edges = [("a", "b"), ("a", "c"), ("b", "root"), ("c", "root")]
    report = assess(
        Ancestry("a", nodes, tuple(Edge(x, y, Relation.MERGE, Evidence.VERIFIED) for x, y in edges))
    )
    assert [finding.rule for finding in report.findings].count("same-terms") == 1
    assert report.findings[0].path == ("a", "b", "Llama-3.1-8B")


def test_cycles_end() -> None:
    nodes = {"a": model("lab/a", "mit"), "b": model("lab/b", "mit")}
    edges = (
        Edge("a", "b", evidence=Evidence.VERIFIED),
        Edge("b", "a", evidence=Evidence.VERIFIED),
        Edge("a", "a"),
    )
    assert assess(Ancestry("a", nodes, edges)).status is Status.NOTICE_MISSING


def test_attribution_is_seen_in_card_data_text_or_notice() -> None:
    parent = model("lab/parent-model", "cc-by-4.0")
    for fields in (
        {"metadata": {"base_models": bases("lab/parent-model")}},
        {"card_body": "Made from parent-model by the lab."},
        {"licence_texts": {"NOTICE.txt": "Parent Model by the lab"}},
    ):
        assert assess(chain(model("lab/c", "mit", **fields), parent)).status is Status.OK


def test_a_long_chain_and_a_wide_one_are_bounded() -> None:
    count = 10_000
    nodes = {str(n): model(f"lab/m{n}", "mit") for n in range(count)} | {"end": LLAMA}
    line = [Edge(str(n), str(n + 1), evidence=Evidence.VERIFIED) for n in range(count - 1)]
    started = time.process_time()
    report = assess(Ancestry("0", nodes, (*line, Edge(str(count - 1), "end", evidence=Evidence.VERIFIED))))
    assert report.status is Status.RELABELLED
    assert len(report.findings[0].path) < 30
    star = tuple(Edge("0", f"gone-{n}", evidence=Evidence.VERIFIED) for n in range(30_000))
    wide = assess(Ancestry("0", nodes, star))
    assert wide.status is Status.UNKNOWN
    assert {finding.rule for finding in wide.findings} == {"terms-unknown", "ancestry-cut"}
    assert time.process_time() - started < 20


NAMES = ("mit", "llama3.1", "gemma", "cc-by-nc-4.0", "other", "gpl-3.0", None)
EDGES = st.tuples(
    st.integers(0, 5), st.integers(0, 6), st.sampled_from(Relation), st.sampled_from(Evidence)
).map(lambda row: Edge(str(row[0]), str(row[1]), row[2], row[3]))


@given(st.lists(st.sampled_from(NAMES), min_size=6, max_size=6), st.lists(EDGES, max_size=14))
def test_no_graph_gives_ok_where_something_is_unknown(licences: list[str | None], edges: list[Edge]) -> None:
    nodes = {str(n): model(f"lab/m{n}", licence) for n, licence in enumerate(licences)}
    report = assess(Ancestry("0", nodes, tuple(edges)))
    assert all(finding.asserted for finding in report.findings)
    assert not any(finding.asserted for finding in report.conditional)
    if report.status is Status.OK:
        assert report.if_declared is Status.OK
        reachable, before = {"0"}, set()
        while reachable != before:
            before = set(reachable)
            live = [edge for edge in edges if edge.evidence is not Evidence.CONTRADICTED]
            reachable |= {edge.parent for edge in live if edge.child in reachable}
        assert not any(licences[int(key)] in {None, "other"} if int(key) < 6 else True for key in reachable)
    assert assess(Ancestry("0", nodes, tuple(reversed(edges)))) == report
