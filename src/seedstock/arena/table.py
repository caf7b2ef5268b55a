"""The arena's table: who was preferred to whom, and the strengths that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from seedstock.arena.strengths import Contribution, fit_with_intervals

TIE, BAD = "tie", "bad"
ENOUGH_VOTES = 10
"""With fewer, a model has no rank and no interval: resampling so few says next to nothing."""

Model = tuple[int | None, str]
"""The repo, or None for a model that is none; and the file asked for, or the whole name."""
Votes = Mapping[tuple[tuple[Model, ...], str], int]
"""How often an outcome was chosen among models in that order."""


class Standing(msgspec.Struct, frozen=True, rename="camel"):
    """A model in the table. Strengths are None and the rank too while it has too few votes."""

    model: str
    closed: bool
    """Whether it is no model of this hub but a remote one."""
    votes: int
    wins: int
    losses: int
    ties: int
    group: int
    """Models of different groups were never compared, not even by way of others."""
    rank: int | None = None
    strength: float | None = None
    low: float | None = None
    high: float | None = None


class Table(msgspec.Struct, frozen=True, rename="camel"):
    """Standings, best first, and for each row how often it was preferred to each column, ties as halves."""

    votes: int
    standings: list[Standing]
    wins: list[list[float]]
    games: list[list[int]]
    groups: int
    seed: int


def make_table(votes: Votes, names: Mapping[Model, str], seed: int) -> Table:
    """The table of the models that have names; what was said of others is left out."""
    counted = {key: pairs for key in votes if (pairs := _pairs(key[0], key[1], names))}
    models = sorted(
        {model for pairs in counted.values() for pair in pairs for model in pair[:2]}, key=names.__getitem__
    )
    index = {model: number for number, model in enumerate(models)}
    wins = [[0.0] * len(models) for _ in models]
    games = [[0] * len(models) for _ in models]
    cast: Counter[Model] = Counter()
    contributions = []
    for key, pairs in counted.items():
        count = votes[key]
        numbered = tuple((index[row], index[column], share) for row, column, share in pairs)
        contributions.append(Contribution(numbered, count))
        cast.update(dict.fromkeys({model for pair in pairs for model in pair[:2]}, count))
        for row, column, share in numbered:
            wins[row][column] += share * count
            if share == 1 or row < column:
                games[row][column] += count
                games[column][row] += count
    # Pairs and battles in an order of their own, so that the intervals do not hang on that of the database.
    contributions.sort(key=lambda contribution: contribution.pairs)
    fit = fit_with_intervals(contributions, len(models), seed=seed)
    groups = _groups(games)
    records = _records(counted, votes)
    enough = [cast[model] >= ENOUGH_VOTES for model in models]
    standings = []
    for number, model in enumerate(models):
        won, lost, tied = records[model]
        better = sum(
            enough[other] and groups[other] == groups[number] and fit.low[other] > fit.high[number]
            for other in range(len(models))
        )
        standing = Standing(names[model], model[0] is None, cast[model], won, lost, tied, groups[number])
        if enough[number]:
            standing = msgspec.structs.replace(
                standing,
                rank=better + 1,
                strength=round(fit.strength[number], 1),
                low=round(fit.low[number], 1),
                high=round(fit.high[number], 1),
            )
        standings.append(standing)
    order = sorted(
        range(len(models)),
        key=lambda n: (standings[n].group, not enough[n], -fit.strength[n], standings[n].model),
    )
    return Table(
        votes=sum(votes[key] for key in counted),
        standings=[standings[n] for n in order],
        wins=[[wins[row][column] for column in order] for row in order],
        games=[[games[row][column] for column in order] for row in order],
        groups=len(set(groups)),
        seed=seed,
    )


def _pairs(
    models: Sequence[Model], outcome: str, names: Mapping[Model, str]
) -> list[tuple[Model, Model, float]]:
    """What an outcome says of pairs of different models that have names."""
    shown = [(position, model) for position, model in enumerate(models) if model in names]
    if outcome in {TIE, BAD}:
        return [(one, other, 0.5) for _, one in shown for _, other in shown if one != other]
    best = [model for position, model in shown if str(position) == outcome]
    return [(winner, other, 1.0) for winner in best for _, other in shown if other != winner]


def _records(
    counted: Mapping[tuple[tuple[Model, ...], str], list[tuple[Model, Model, float]]], votes: Votes
) -> dict[Model, list[int]]:
    """Pairs won, lost and tied."""
    found: dict[Model, list[int]] = {}
    for key, pairs in counted.items():
        for row, column, share in pairs:
            won, lost = found.setdefault(row, [0, 0, 0]), found.setdefault(column, [0, 0, 0])
            if share == 1:
                won[0] += votes[key]
                lost[1] += votes[key]
            else:
                won[2] += votes[key]
    return found


def _groups(games: list[list[int]]) -> list[int]:
    """A number for each model; equal for those that comparisons connect. The largest group is 1."""
    label = list(range(len(games)))
    for start in range(len(games)):
        if label[start] != start:
            continue
        waiting = [start]
        while waiting:
            at = waiting.pop()
            for other, count in enumerate(games[at]):
                if count and label[other] != start:
                    label[other] = start
                    waiting.append(other)
    sizes = Counter(label)
    order = sorted(sizes, key=lambda group: (-sizes[group], group))
    return [order.index(group) + 1 for group in label]
