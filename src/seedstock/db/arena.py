"""Queries of battles: one prompt put to several models, their answers, and the vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.inserts import insert_new
from seedstock.db.schema import battle_answers, battles, contestants


class BattleRow(msgspec.Struct, frozen=True):
    """A battle as stored."""

    id: int
    key: str
    account_id: int
    blind: bool
    prompts: list[str]
    settings: dict[str, Any]
    outcome: str | None
    created_at: int
    voted_at: int | None


class ContestantRow(msgspec.Struct, frozen=True):
    """A model of a battle."""

    battle_id: int
    position: int
    model: str
    repo_id: int | None
    revision: str | None


class AnswerRow(msgspec.Struct, frozen=True):
    """What one model answered to one prompt."""

    battle_id: int
    position: int
    turn: int
    content: str
    details: dict[str, Any]


_BATTLE = [battles.c[name] for name in BattleRow.__struct_fields__]
_CONTESTANT = [contestants.c[name] for name in ContestantRow.__struct_fields__]
_ANSWER = [battle_answers.c[name] for name in AnswerRow.__struct_fields__]


def count_battles(connection: sa.Connection, account_id: int) -> int:
    """How many battles an account has had."""
    query = sa.select(sa.func.count()).where(battles.c.account_id == account_id)
    return int(connection.execute(query).scalar_one())


def insert_battle(
    connection: sa.Connection, values: dict[str, Any], models: Sequence[tuple[str, int | None, str | None]]
) -> int:
    """Add a battle of models (name, repo, revision) in that order; its number."""
    number = int(connection.execute(sa.insert(battles).values(**values).returning(battles.c.id)).scalar_one())
    rows = [
        {"battle_id": number, "position": position, "model": name, "repo_id": repo, "revision": revision}
        for position, (name, repo, revision) in enumerate(models)
    ]
    connection.execute(sa.insert(contestants), rows)
    return number


def find_battle(connection: sa.Connection, account_id: int, key: str) -> BattleRow | None:
    """A battle of an account."""
    query = sa.select(*_BATTLE).where(battles.c.key == key, battles.c.account_id == account_id)
    row = connection.execute(query).first()
    return BattleRow(*row) if row else None


def lock_battle(connection: sa.Connection, battle_id: int) -> None:
    """Have nobody else change a battle before the transaction ends."""
    connection.execute(sa.select(battles.c.id).where(battles.c.id == battle_id).with_for_update())


def list_voted(connection: sa.Connection, account_id: int, limit: int, before: int | None) -> list[BattleRow]:
    """An account's battles with a vote, newest first; only those before one."""
    query = sa.select(*_BATTLE).where(battles.c.account_id == account_id, battles.c.outcome.is_not(None))
    if before is not None:
        query = query.where(battles.c.id < before)
    return [BattleRow(*row) for row in connection.execute(query.order_by(battles.c.id.desc()).limit(limit))]


def list_contestants(connection: sa.Connection, battle_ids: Sequence[int]) -> list[ContestantRow]:
    """The models of battles, by battle and position."""
    query = sa.select(*_CONTESTANT).where(contestants.c.battle_id.in_(battle_ids))
    query = query.order_by(contestants.c.battle_id, contestants.c.position)
    return [ContestantRow(*row) for row in connection.execute(query)]


def list_answers(connection: sa.Connection, battle_ids: Sequence[int]) -> list[AnswerRow]:
    """The answers of battles, by battle, position and turn."""
    query = sa.select(*_ANSWER).where(battle_answers.c.battle_id.in_(battle_ids))
    query = query.order_by(battle_answers.c.battle_id, battle_answers.c.position, battle_answers.c.turn)
    return [AnswerRow(*row) for row in connection.execute(query)]


def insert_answer(connection: sa.Connection, answer: AnswerRow, at: int) -> None:
    """Keep an answer, unless there is one."""
    values = {name: getattr(answer, name) for name in AnswerRow.__struct_fields__}
    insert_new(connection, battle_answers, [values | {"created_at": at}])


def set_prompts(connection: sa.Connection, battle_id: int, prompts: list[str]) -> None:
    """Replace what was asked."""
    connection.execute(sa.update(battles).where(battles.c.id == battle_id).values(prompts=prompts))


def set_outcome(connection: sa.Connection, battle_id: int, outcome: str, at: int) -> bool:
    """Record the vote on a battle, unless there is one; whether there was none."""
    statement = sa.update(battles).where(battles.c.id == battle_id, battles.c.outcome.is_(None))
    return connection.execute(statement.values(outcome=outcome, voted_at=at)).rowcount > 0


def delete_battle(connection: sa.Connection, battle_id: int) -> None:
    """Delete a battle with its answers and its vote."""
    connection.execute(sa.delete(battles).where(battles.c.id == battle_id))


def votes_stamp(connection: sa.Connection) -> tuple[int, int]:
    """How many blind votes there are and when the last was cast: changes whenever the votes do."""
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(battles.c.id), 0))
    row = connection.execute(query.where(battles.c.outcome.is_not(None), battles.c.blind)).one()
    return int(row[0]), int(row[1])


def blind_votes(connection: sa.Connection) -> list[tuple[int, str, int, str, int | None]]:
    """Of every blind vote: battle, outcome, and for each position the model and its repo; in that order."""
    query = (
        sa.select(
            battles.c.id,
            battles.c.outcome,
            contestants.c.position,
            contestants.c.model,
            contestants.c.repo_id,
        )
        .join(contestants, contestants.c.battle_id == battles.c.id)
        .where(battles.c.outcome.is_not(None), battles.c.blind)
        .order_by(battles.c.id, contestants.c.position)
    )
    return [
        (id, outcome or "", at, model, repo) for id, outcome, at, model, repo in connection.execute(query)
    ]
