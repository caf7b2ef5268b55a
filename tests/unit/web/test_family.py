"""The family page's table: places, filters, order, pages and words, from a graph."""

from __future__ import annotations

import random
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.web.family import PAGE_SIZE, family_page
from seedstock.web.family_places import places
from seedstock.web.family_query import FamilyQuery, query_of
from seedstock.web.views.evidence import Evidence
from seedstock.web.views.family import (
    AnalysisState,
    AnalysisView,
    FamilyEdge,
    FamilyGraph,
    FamilyNode,
    FamilyPage,
)
from tests.web_preview.sample_family import FAMILY, big_family
from tests.web_preview.sample_repos import HEADER

DONE = AnalysisView(AnalysisState.DONE)


def page_of(graph: FamilyGraph = FAMILY, **query: object) -> FamilyPage:
    return family_page(HEADER, graph, FamilyQuery(**query), DONE)  # type: ignore[arg-type]


def names(page: FamilyPage) -> list[str]:
    return [row.node.repo.partition("/")[2] for row in page.rows]


def test_places_follow_edges_that_hold_and_call_a_contradicted_one_a_claim() -> None:
    words = {FAMILY.nodes[id].repo: place.words for id, place in places(FAMILY).items()}
    assert words["demo/SmolLM2-135M-Instruct"] == "This model"
    assert words["HuggingFaceTB/SmolLM2-135M"] == "Parent"
    assert words["lab/countdown-grpo-135M"] == "Child"
    assert words["lab/countdown-grpo-135M-Q8_0-with-a-very-long-name-for-its-box"] == "Descendant, 2 steps"
    assert words["fieldworks/botany-135M"] == words["bob/mystery-weights"] == "Relative"
    assert words["ada/own-from-scratch-135M"] == "Contradicted claim"


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from(Evidence)), max_size=40),
)
def test_every_model_has_a_place_whatever_cards_declare(
    count: int, pairs: list[tuple[int, int, Evidence]]
) -> None:
    nodes = tuple(FamilyNode(i, f"ada/m{i}") for i in range(count))
    edges = tuple(FamilyEdge(a % count, b % count, evidence, "finetune") for a, b, evidence in pairs)
    graph = FamilyGraph(0, nodes, edges)
    page = page_of(graph)
    assert len(page.rows) == count == len(places(graph))
    assert page.rows[0].node.id == 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"evidence": "contradicted"}, ["own-from-scratch-135M"]),
        ({"relation": "merge"}, ["gardener-merge"]),
        ({"relation": "related"}, ["SmolLM2-135M-Instruct", "mystery-weights"]),
        ({"licence": "CC-BY-NC-4.0"}, ["clinic-notes-lora-r16"]),
        ({"origin": "Kenya"}, ["gardener-merge", "botany-135M"]),
        ({"search": "GRPO q8"}, ["countdown-grpo-135M-Q8_0-with-a-very-long-name-for-its-box"]),
        ({"origin": "Kenya", "evidence": "verified"}, ["gardener-merge"]),
        ({"licence": "no such"}, []),
    ],
)
def test_filters(query: dict[str, str], expected: list[str]) -> None:
    page = page_of(**query)
    assert names(page) == expected
    assert page.filtered
    assert page.pagination.total == len(expected)


def test_each_column_sorts_both_ways_and_says_so() -> None:
    rising = page_of(sort="downloads")
    falling = page_of(sort="downloads", descending=True)
    assert names(rising) == names(falling)[::-1]
    assert [c.direction for c in falling.columns if c.key == "downloads"] == ["descending"]
    for column in rising.columns:
        assert column.href.startswith("?")
        assert len(page_of(sort=column.key).rows) == len(FAMILY.nodes)


def test_an_unknown_order_is_that_of_places() -> None:
    assert names(page_of(sort="harm")) == names(page_of())


def test_pages_hold_two_hundred_and_overlap_in_nothing() -> None:
    graph = big_family(3 * PAGE_SIZE - 1)
    pages = [page_of(graph, page=number) for number in (1, 2, 3)]
    seen = [name for page in pages for name in names(page)]
    assert len(seen) == len(set(seen)) == len(graph.nodes)
    assert pages[0].pagination.previous_href is None
    assert pages[0].pagination.next_href == "?page=2#table"
    assert pages[2].pagination.next_href is None
    assert page_of(graph, page=99).pagination == pages[2].pagination


def test_filters_stay_in_the_links_of_order_and_pages() -> None:
    page = page_of(big_family(3000), evidence="verified", search="lab/")
    assert page.pagination.next_href is not None
    for href in (page.pagination.next_href, page.columns[0].href):
        assert "evidence=verified" in href
        assert "search=lab%2F" in href


def test_the_headline_counts() -> None:
    assert page_of().headline == (
        "SmolLM2-135M-Instruct has 1 ancestor, 6 descendants, 2 further relatives and 1 contradicted claim; "
        "7 of 11 links verified from weights."
    )
    alone = FamilyGraph(0, (FamilyNode(0, "ada/m"),))
    assert page_of(alone).headline == "SmolLM2-135M-Instruct has no ancestors and no descendants."


def test_the_graph_is_the_documented_json() -> None:
    answer = msgspec.json.decode(msgspec.json.encode(FAMILY))
    assert set(answer) == {"focus", "nodes", "edges", "truncated"}
    assert set(answer["edges"][0]) == {
        "source",
        "target",
        "evidence",
        "relation",
        "verdict",
        "kind",
        "record",
        "href",
    }
    assert {"id", "repo", "href", "commit", "title", "licence", "openness", "origin", "parameters"} < set(
        answer["nodes"][0]
    )
    assert {edge["evidence"] for edge in answer["edges"]} == {evidence.value for evidence in Evidence}
    assert msgspec.json.decode(msgspec.json.encode(FAMILY), type=FamilyGraph) == FAMILY


def test_the_order_of_the_graph_means_nothing() -> None:
    rng = random.Random(3)
    nodes, edges = list(FAMILY.nodes), list(FAMILY.edges)
    rng.shuffle(nodes)
    rng.shuffle(edges)
    shuffled = msgspec.structs.replace(FAMILY, nodes=tuple(nodes), edges=tuple(edges))
    assert names(page_of(shuffled)) == names(page_of())
    assert page_of(shuffled).headline == page_of().headline


@given(
    st.dictionaries(
        st.sampled_from(["search", "relation", "sort", "order", "page", "licence"]), st.text(max_size=300)
    )
)
def test_any_address_gives_a_page(fields: dict[str, str]) -> None:
    query = query_of(fields.get)
    page = page_of(**{name: getattr(query, name) for name in query.__struct_fields__})
    assert len(page.query) <= 120
    assert page.pagination.last <= len(FAMILY.nodes)


def test_links_lead_back_to_their_own_state() -> None:
    query = FamilyQuery(search="a b&c", evidence="verified", sort="downloads", descending=True, page=3)
    fields = dict(parse_qsl(urlsplit(query.href()).query))
    assert query_of(fields.get) == query
