"""The arena's table: records, pairs, groups, and who has a rank."""

from __future__ import annotations

from itertools import pairwise

import pytest

from seedstock.arena.table import ENOUGH_VOTES, Table, make_table
from seedstock.web.pages.compare import MOST_PAIRED, page_of

A, B, C, D = (1, ""), (2, ""), (3, ""), (None, "far/model")
NAMES = {A: "ada/a", B: "ada/b", C: "ada/c", D: "far/model"}


def rows(table: Table) -> dict[str, tuple[int, int, int, int]]:
    return {row.model: (row.votes, row.wins, row.losses, row.ties) for row in table.standings}


def test_records_and_pairs() -> None:
    table = make_table({((A, B), "0"): 3, ((B, A), "0"): 1, ((A, B), "tie"): 2, ((B, A), "bad"): 4}, NAMES, 0)
    assert table.votes == 10
    assert rows(table) == {"ada/a": (10, 3, 1, 6), "ada/b": (10, 1, 3, 6)}
    assert [row.model for row in table.standings] == ["ada/a", "ada/b"]
    assert table.wins == [[0, 6], [4, 0]]
    assert table.games == [[0, 10], [10, 0]]


def test_the_best_of_several_beats_each_of_the_others() -> None:
    table = make_table({((C, A, B), "1"): 5}, NAMES, 0)
    assert rows(table) == {"ada/a": (5, 10, 0, 0), "ada/b": (5, 0, 5, 0), "ada/c": (5, 0, 5, 0)}
    assert table.votes == 5


def test_models_that_may_not_be_seen_leave_no_trace() -> None:
    votes = {((A, B), "0"): 3, ((A, C), "1"): 7, ((C, A, B), "0"): 2, ((C, A, B), "tie"): 1}
    seen = make_table(votes, {A: "ada/a", B: "ada/b"}, 0)
    assert rows(seen) == {"ada/a": (4, 3, 0, 1), "ada/b": (4, 0, 3, 1)}
    assert seen == make_table({((A, B), "0"): 3, ((A, B), "tie"): 1}, {A: "ada/a", B: "ada/b"}, 0)


def test_a_rank_needs_votes() -> None:
    few = make_table({((A, B), "0"): ENOUGH_VOTES - 1}, NAMES, 0)
    assert all(row.rank is row.strength is row.low is None for row in few.standings)
    enough = make_table({((A, B), "0"): 40, ((A, B), "1"): 2, ((A, C), "0"): 1}, NAMES, 0)
    assert [(row.model, row.rank) for row in enough.standings] == [
        ("ada/a", 1),
        ("ada/b", 2),
        ("ada/c", None),
    ]


def test_ranks_are_shared_where_the_votes_do_not_tell() -> None:
    table = make_table({((A, B), "0"): 11, ((A, B), "1"): 10}, NAMES, 0)
    assert [row.rank for row in table.standings] == [1, 1]


def test_what_was_never_compared_is_in_another_group() -> None:
    e = (5, "")
    table = make_table({((A, B), "0"): 12, ((B, C), "0"): 12, ((D, e), "1"): 12}, NAMES | {e: "ada/e"}, 0)
    assert table.groups == 2
    assert [(row.model, row.group) for row in table.standings] == [
        ("ada/a", 1),
        ("ada/b", 1),
        ("ada/c", 1),
        ("ada/e", 2),
        ("far/model", 2),
    ]
    assert [row.rank for row in table.standings][3] == 1


@pytest.mark.parametrize(
    "votes", [{}, {((A, A), "0"): 3}, {((A, C), "0"): 2}], ids=["none", "itself", "unseen"]
)
def test_no_votes_make_an_empty_table(votes: dict) -> None:  # type: ignore[type-arg]
    assert make_table(votes, {A: "ada/a", B: "ada/b"}, 0) == Table(0, [], [], [], 0, 0)


def test_the_order_of_the_database_does_not_matter() -> None:
    votes = {((A, B), "0"): 13, ((B, C), "1"): 11, ((C, A), "0"): 17, ((A, B, C), "tie"): 3}
    assert make_table(votes, NAMES, 3) == make_table(dict(reversed(votes.items())), NAMES, 3)


def test_a_page_shows_the_pairs_of_the_first_of_many_models() -> None:
    models = [(number, "") for number in range(MOST_PAIRED + 5)]
    votes = {((one, other), "0"): 3 for one, other in pairwise(models)}
    table = make_table(votes, {model: f"ada/m{model[0]}" for model in models}, 0)
    page = page_of(table)
    assert len(page.standings) == MOST_PAIRED + 5
    assert {len(page.cells), *map(len, page.cells)} == {MOST_PAIRED}
    first, second = (int(row.model.label.removeprefix("ada/m")) for row in page.standings[:2])
    assert page.cells[0][1].games == (3 if abs(first - second) == 1 else 0)
