"""Battles: one prompt to several models side by side, a vote, and the table of all votes.

A battle belongs to who began it; to everybody else it does not exist. Until the vote a blind one says nothing of
which model is which, and the order is drawn here, so that the place of an answer says nothing either.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.accounts.permissions import Action, allowed, check, check_may_change, check_own
from seedstock.arena.table import BAD, TIE, Model, Table, make_table
from seedstock.chats.messages import storable
from seedstock.chats.service import ChatSettings
from seedstock.core.clock import Clock
from seedstock.core.errors import (
    Conflict,
    HubError,
    Invalid,
    NotFound,
    QuotaExceeded,
    TooLarge,
    Unauthenticated,
)
from seedstock.core.viewer import Viewer
from seedstock.db import arena as rows
from seedstock.db.arena import AnswerRow, BattleRow, ContestantRow
from seedstock.db.engine import Database
from seedstock.hub.models import Models, parse_model_name
from seedstock.hub.repos import Repos
from seedstock.remotes.service import Remotes
from seedstock.run.remote.upstream import find_remote_name

MIN_MODELS, MAX_MODELS = 2, 4
MAX_PROMPT_BYTES = 64 << 10
MAX_TURNS = 10
MAX_BATTLES = 20_000
_KEPT_TABLES = 64
LABELS = "ABCD"


class Battle(msgspec.Struct, frozen=True):
    """A battle with its models and their answers so far."""

    row: BattleRow
    contestants: list[ContestantRow]
    answers: list[AnswerRow]

    @property
    def revealed(self) -> bool:
        """Whether it may be said which model is which."""
        return self.row.outcome is not None or not self.row.blind


class Turn(msgspec.Struct, frozen=True):
    """What one model of a battle is to answer now; `model` is pinned to its revision."""

    battle: Battle
    contestant: ContestantRow
    number: int
    model: str
    messages: list[dict[str, str]]


class Arena:
    """Begins battles, keeps answers and votes, ranks."""

    def __init__(
        self, database: Database, repos: Repos, models: Models, remotes: Remotes, clock: Clock
    ) -> None:
        self._database = database
        self._repos = repos
        self._models = models
        self._remotes = remotes
        self._clock = clock
        self._lock = threading.Lock()
        self._tables: OrderedDict[Any, Table] = OrderedDict()
        self._votes: tuple[tuple[int, int], Counter[tuple[tuple[Model, ...], str]]] = ((-1, -1), Counter())

    def begin(
        self, viewer: Viewer, models: Sequence[str], prompt: str, settings: ChatSettings, *, blind: bool
    ) -> Battle:
        """Draw the order of two to four models and put a prompt to them.

        Raises Unauthenticated, Forbidden, RepoNotFound, GatedRepo, Invalid, TooLarge, QuotaExceeded.
        """
        owner = check_own(viewer)
        check_may_change(viewer)
        if not MIN_MODELS <= len(models) <= MAX_MODELS:
            raise Invalid(f"{MIN_MODELS} to {MAX_MODELS} models are compared, not {len(models)}")
        entered = [self._enter(viewer, name) for name in models]
        if len(set(entered)) < len(entered):
            raise Invalid("A model cannot be compared with itself", hint="choose different models")
        secrets.SystemRandom().shuffle(entered)
        values = {
            "key": secrets.token_hex(12),
            "account_id": owner,
            "blind": blind,
            "prompts": [_checked(prompt)],
            "settings": msgspec.to_builtins(
                msgspec.structs.replace(settings, system=storable(settings.system))
            ),
            "created_at": self._clock(),
        }
        with self._database.write() as connection:
            if rows.count_battles(connection, owner) >= MAX_BATTLES:
                raise QuotaExceeded(f"You have had {MAX_BATTLES} comparisons, which is the most")
            rows.insert_battle(connection, values, entered)
        return self.get(viewer, str(values["key"]))

    def get(self, viewer: Viewer, key: str) -> Battle:
        """A battle of the viewer's. Raises NotFound."""
        with self._database.read() as connection:
            return _battle(connection, viewer, key)

    def ask(self, viewer: Viewer, key: str, prompt: str) -> Battle:
        """Go on with another prompt, once all have answered and while there is no vote. Raises Conflict, Invalid."""
        check_may_change(viewer)
        with self._database.write() as connection:
            battle = _battle(connection, viewer, key)
            rows.lock_battle(connection, battle.row.id)
            battle = _battle(connection, viewer, key)
            _check_open(battle)
            if len(battle.row.prompts) >= MAX_TURNS:
                raise Conflict(f"A comparison has at most {MAX_TURNS} prompts", hint="vote, or begin another")
            rows.set_prompts(connection, battle.row.id, [*battle.row.prompts, _checked(prompt)])
        return self.get(viewer, key)

    def turn(self, viewer: Viewer, key: str, position: int) -> Turn:
        """What the model at a position is to answer. Raises NotFound, and Conflict if it has answered."""
        battle = self.get(viewer, key)
        if not 0 <= position < len(battle.contestants):
            raise NotFound("There is no such answer")
        contestant = battle.contestants[position]
        said = [answer for answer in battle.answers if answer.position == position]
        number = len(battle.row.prompts) - 1
        if len(said) > number:
            raise Conflict(f"Model {LABELS[position]} has answered already")
        messages = []
        if battle.row.settings.get("system"):
            messages.append({"role": "system", "content": battle.row.settings["system"]})
        for answer in said:
            messages.append({"role": "user", "content": battle.row.prompts[answer.turn]})
            messages.append({"role": "assistant", "content": answer.content})
        messages.append({"role": "user", "content": battle.row.prompts[number]})
        return Turn(battle, contestant, number, _pinned(contestant), messages)

    def answered(self, turn: Turn, content: str, details: dict[str, Any]) -> None:
        """Keep what a model answered."""
        answer = AnswerRow(
            turn.battle.row.id, turn.contestant.position, turn.number, storable(content), details
        )
        with self._database.write() as connection:
            rows.insert_answer(connection, answer, self._clock())

    def vote(self, viewer: Viewer, key: str, outcome: str) -> Battle:
        """Say which answer is best: its position, `tie` or `bad`. Raises Invalid, and Conflict the second time."""
        check_may_change(viewer)
        with self._database.write() as connection:
            battle = _battle(connection, viewer, key)
            choices = {str(contestant.position) for contestant in battle.contestants} | {TIE, BAD}
            if outcome not in choices:
                raise Invalid(f"A vote is one of {', '.join(sorted(choices))}, not {outcome[:20]!r}")
            _check_open(battle)
            if not rows.set_outcome(connection, battle.row.id, outcome, self._clock()):
                raise Conflict("You have voted on this comparison already")
        return self.get(viewer, key)

    def delete(self, viewer: Viewer, key: str) -> None:
        """Delete a battle with its answers and its vote. Raises NotFound."""
        check_may_change(viewer)
        with self._database.write() as connection:
            rows.delete_battle(connection, _battle(connection, viewer, key).row.id)

    def votes(self, viewer: Viewer, limit: int, before: int | None) -> list[Battle]:
        """The viewer's battles with a vote, newest first."""
        owner = check_own(viewer)
        with self._database.read() as connection:
            found = rows.list_voted(connection, owner, limit, before)
            ids = [battle.id for battle in found]
            models, answers = rows.list_contestants(connection, ids), rows.list_answers(connection, ids)
        return [
            Battle(
                battle,
                [model for model in models if model.battle_id == battle.id],
                [answer for answer in answers if answer.battle_id == battle.id],
            )
            for battle in found
        ]

    def table(self, viewer: Viewer, seed: int = 0) -> Table:
        """The table of the models that the viewer may see, from everybody's blind votes."""
        if seed and viewer.anonymous:
            raise Unauthenticated("Sign in to choose a seed")  # each makes the hub compute anew
        stamp, votes = self._counted()
        names = self._names(viewer, {model for models, _ in votes for model in models})
        key = (stamp, seed, frozenset(names.items()))
        with self._lock:  # computed once, however many ask
            table = self._tables.get(key)
            if table is None:
                table = self._tables[key] = make_table(votes, names, seed)
            self._tables.move_to_end(key)
            while len(self._tables) > _KEPT_TABLES:
                self._tables.popitem(last=False)
        return table

    def _counted(self) -> tuple[tuple[int, int], Counter[tuple[tuple[Model, ...], str]]]:
        """All blind votes, read again only when there are others."""
        with self._database.read() as connection:
            stamp = rows.votes_stamp(connection)
            counted = self._votes
            if stamp != counted[0]:
                counted = self._votes = (stamp, _count(rows.blind_votes(connection)))
        return counted

    def _names(self, viewer: Viewer, models: set[Model]) -> dict[Model, str]:
        """What those of the models are called now that the viewer may see."""
        repos = self._repos.by_id(viewer, {repo for repo, _ in models if repo is not None})
        closed = {model.id for model in self._remotes.models(viewer)}
        names = {model: model[1] for model in models if model[0] is None and model[1] in closed}
        for model in models:
            repo = repos.get(model[0]) if model[0] is not None else None
            if repo is not None and allowed(viewer, Action.READ, repo):
                names[model] = f"{repo.repo_id}:{model[1]}" if model[1] else repo.repo_id
        return names

    def _enter(self, viewer: Viewer, name: str) -> tuple[str, int | None, str | None]:
        """A model's name, repo and exact revision, if the viewer may run it; a remote one has neither of these."""
        if len(name) > 300:
            raise Invalid("The name of a model is too long")
        if find_remote_name(name) is not None:
            return self._remotes.model(viewer, name).id, None, None
        wanted = parse_model_name(name)
        at = self._models.get(viewer, name)
        check(viewer, Action.DOWNLOAD, at.repo)
        if not self._models.writes(viewer, at):
            raise Invalid(f"{at.repo.repo_id} makes no text", hint="it turns texts into vectors")
        named = f"{at.repo.repo_id}:{wanted.file}" if wanted.file else at.repo.repo_id
        return named, at.repo.id, at.commit.oid


def hide_names(error: HubError, turn: Turn) -> None:
    """Have an error say `Model A` for the name of a model that is not to be known yet.

    What is said of a remote model tells whose it is by its words alone: where one takes part, nothing is said but whose
    answer is missing.
    """
    battle = turn.battle
    if any(contestant.repo_id is None for contestant in battle.contestants):
        error.message, error.hint = f"Model {LABELS[turn.contestant.position]} did not answer", None
        return
    labels: dict[str, str] = {}
    for contestant in battle.contestants:
        repo = contestant.model.partition(":")[0]
        for secret in (contestant.model, repo, repo.partition("/")[2]):
            labels.setdefault(secret, f"Model {LABELS[contestant.position]}")
    # All at once, the longest first: a label is not to be searched for names itself.
    names = sorted(labels, key=len, reverse=True)
    found = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in names))

    def hidden(text: str) -> str:
        return found.sub(lambda match: labels[match[0]], text)

    error.message, error.hint = hidden(error.message), error.hint and hidden(error.hint)


def _pinned(contestant: ContestantRow) -> str:
    return f"{contestant.model}@{contestant.revision}" if contestant.revision else contestant.model


def _battle(connection: sa.Connection, viewer: Viewer, key: str) -> Battle:
    row = rows.find_battle(connection, check_own(viewer), key) if "\0" not in key else None
    if row is None:
        raise NotFound("There is no such comparison")
    return Battle(row, rows.list_contestants(connection, [row.id]), rows.list_answers(connection, [row.id]))


def _check_open(battle: Battle) -> None:
    """Raise Conflict if there is a vote, or if somebody has not answered yet."""
    if battle.row.outcome is not None:
        raise Conflict("You have voted on this comparison already", hint="begin another")
    answered = {(answer.position, answer.turn) for answer in battle.answers}
    last = len(battle.row.prompts) - 1
    waiting = [LABELS[c.position] for c in battle.contestants if (c.position, last) not in answered]
    if waiting:
        raise Conflict(f"Model {' and '.join(waiting)} has not answered yet", hint="wait, or try it again")


def _checked(prompt: str) -> str:
    if not prompt.strip():
        raise Invalid("The prompt is empty")
    if len(prompt.encode("utf-8", "surrogatepass")) > MAX_PROMPT_BYTES:
        raise TooLarge(f"A prompt has at most {MAX_PROMPT_BYTES >> 10} KiB here")
    return storable(prompt)


def _count(votes: list[tuple[int, str, int, str, int | None]]) -> Counter[tuple[tuple[Model, ...], str]]:
    """How often each outcome was chosen among the same models in the same order."""
    battles: dict[int, tuple[str, list[Model]]] = {}
    for battle, outcome, _, model, repo in votes:
        file = model.partition(":")[2] if repo is not None else model
        battles.setdefault(battle, (outcome, []))[1].append((repo, file))
    return Counter((tuple(models), outcome) for outcome, models in battles.values())
