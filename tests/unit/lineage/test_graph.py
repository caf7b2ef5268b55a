"""Ties and roots from edges, as pure functions."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from seedstock.db.lineage import EdgeRow
from seedstock.db.repos import RepoRow
from seedstock.hub.trees import Entry
from seedstock.lineage.findings import certain_direction
from seedstock.lineage.graph import Ancestry, Support, ties
from seedstock.lineage.weight_sets import SetKind, group_weights

_NUMBERS = iter(range(1, 1_000_000))


def repo(number: int) -> RepoRow:
    fields: dict[str, Any] = dict.fromkeys(RepoRow.__struct_fields__, 0)
    return RepoRow(**fields | {"id": number, "name": f"m{number}", "namespace": "lab", "type": "models"})


def edge(
    child: int, other: int | str, verdict: str | None = None, role: str = "parent", **fields: Any
) -> EdgeRow:
    """What `child`'s analysis says of another; named ones are declared."""
    named = isinstance(other, str)
    values: dict[str, Any] = {
        "id": next(_NUMBERS),
        "repo_id": child,
        "commit_oid": "c",
        "other_repo_id": None if named else other,
        "other_commit": None,
        "declared_name": other if named else f"lab/m{other}",
        "declared": "finetune",
        "source": "README.md",
        "role": role,
        "verdict": verdict,
        "kind": None,
        "coefficient": None,
        "method": None,
        "reason": "",
        "created_at": 0,
    }
    return EdgeRow(**values | fields)


def roots(edges: list[EdgeRow], start: int, visible: set[int]) -> dict[Any, tuple[bool, int]]:
    found = ties(edges, {number: repo(number) for number in visible})
    return {root.key: (root.verified, root.steps) for root in Ancestry(found).roots(start)}


def test_a_root_is_verified_only_if_every_step_is() -> None:
    edges = [edge(3, 2, "derived"), edge(2, 1, "derived"), edge(4, 3, "derived"), edge(4, "out/side")]
    assert roots(edges, 3, {1, 2, 3}) == {1: (True, 2)}
    assert roots(edges, 4, {1, 2, 3, 4}) == {1: (True, 3), "out/side": (False, 1)}
    weak = [edge(3, 2, "derived"), edge(2, 1, "inconclusive")]
    assert roots(weak, 3, {1, 2, 3}) == {1: (False, 2)}


def test_contradicted_and_related_ties_lead_nowhere() -> None:
    related = edge(3, 2, "derived", "relative", declared=None, declared_name=None)
    assert roots([edge(2, 1, "contradicted"), related], 2, {1, 2, 3}) == {}
    assert roots([related], 3, {1, 2, 3}) == {}


def test_a_hidden_parent_is_the_text_of_the_card() -> None:
    edges = [edge(3, 2, "derived"), edge(2, 1, "derived")]
    assert roots(edges, 3, {1, 3}) == {"lab/m2": (False, 1)}
    discovered = edge(3, 2, "derived", declared=None, declared_name=None)
    assert roots([discovered], 3, {1, 3}) == {}


def test_of_two_words_on_one_pair_the_declared_one_counts() -> None:
    mine = edge(2, 1, "derived")
    its = edge(1, 2, "derived", "relative", declared=None, declared_name=None)
    [tie] = ties([its, mine], {1: repo(1), 2: repo(2)})
    assert (tie.parent, tie.child, tie.support) == (1, 2, Support.VERIFIED)


def test_a_child_found_by_the_parent_is_the_same_tie() -> None:
    [tie] = ties(
        [edge(1, 2, "derived", "child", declared=None, declared_name=None)], {1: repo(1), 2: repo(2)}
    )
    assert (tie.parent, tie.child, tie.support) == (1, 2, Support.VERIFIED)


_EDGES = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.one_of(st.integers(1, 8), st.sampled_from(["x/y", "lab/m3"])),
        st.sampled_from([None, "derived", "identical", "contradicted", "inconclusive", "partial"]),
        st.sampled_from(["parent", "child", "relative"]),
        st.booleans(),
    ),
    max_size=40,
)


@given(_EDGES, st.sets(st.integers(1, 8)))
def test_no_graph_hangs_or_names_what_is_hidden(drawn: list[Any], visible: set[int]) -> None:
    edges = []
    for child, other, verdict, role, declared in drawn:
        plain = {} if declared or isinstance(other, str) else {"declared": None, "declared_name": None}
        edges.append(edge(child, other, verdict, role, **plain))
    found = ties(edges, {number: repo(number) for number in visible})
    assert len({frozenset((tie.parent, tie.child)) for tie in found}) == len(found)
    for tie in found:
        assert all(end in visible for end in (tie.parent, tie.child) if isinstance(end, int))
        assert tie.known or tie.verdict is None
    ancestry = Ancestry(found)
    for start in visible:
        for root in ancestry.roots(start):
            assert root.steps == len(root.path) >= 1
            assert root.verified == all(tie.support is Support.VERIFIED for tie in root.path)


def test_the_direction_of_pruning_needs_equal_layers() -> None:
    pruned = {"direction": "a_from_b", "kind": "pruned"}
    assert certain_direction({**pruned, "statistics": {"cosine_least": 0.999999}}) == "a_from_b"
    assert certain_direction({**pruned, "statistics": {"cosine_least": 0.998}}) is None
    assert certain_direction({**pruned, "statistics": {}}) is None
    assert certain_direction({"direction": "b_from_a", "kind": "quantized"}) == "b_from_a"
    assert certain_direction({"direction": None, "kind": "finetune"}) is None


def entry(path: str, size: int = 1, digest: str | None = None) -> Entry:
    return Entry(
        path=path,
        oid="0" * 40,
        is_tree=False,
        size_bytes=size,
        digest=digest or path.encode().hex().zfill(64),
    )


def test_weights_are_grouped_by_model_and_floats_come_first() -> None:
    paths = [
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "q4.gguf", "sub/adapter_model.safetensors",
        "big-00001-of-00002.gguf", "big-00002-of-00002.gguf", "mmproj-x.gguf", "optimizer.safetensors", "README.md",
    ]  # fmt: skip
    sets = group_weights([entry(path) for path in paths])
    assert [tuple(item.files) for item in sets] == [
        ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
        ("big-00001-of-00002.gguf", "big-00002-of-00002.gguf"),
        ("q4.gguf",),
        ("sub/adapter_model.safetensors",),
    ]
    assert sets[-1].kind is SetKind.ADAPTER


def test_the_same_bytes_are_the_same_weights_whatever_they_are_called() -> None:
    [one] = group_weights([entry("model.safetensors", digest="a" * 64)])
    [two] = group_weights([entry("x/pytorch.safetensors", digest="a" * 64)])
    [other] = group_weights([entry("model.safetensors", digest="b" * 64)])
    assert one.digest == two.digest != other.digest
    assert msgspec.structs.asdict(one)
