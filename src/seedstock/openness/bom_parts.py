"""What both kinds of bill list: the models of an ancestry, the ties between them, their files and data sets.

Everything is in a fixed order and made of text that any JSON reader takes, so that the same facts give the same
bytes. Node keys never appear.
"""

from __future__ import annotations

import re
from itertools import groupby
from urllib.parse import quote

import msgspec

from seedstock.openness.facts import Ancestry, Dataset, Edge, Evidence, File, ModelFacts, Node, Relation
from seedstock.openness.inheritance import walk
from seedstock.openness.own_licence import OwnLicence, read_own_licence

MAX_TEXT_CHARS = 2000
MAX_FILES = 2000
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,2000}\Z")
_WEIGHTS = re.compile(r"\.(?:safetensors|gguf)\Z", re.IGNORECASE)
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")


class Part(msgspec.Struct, frozen=True):
    """One model of the bill; `number` 0 is the model that the bill is of."""

    number: int
    node: Node
    licence: OwnLicence | None
    files: tuple[File, ...] = ()
    files_left_out: int = 0

    @property
    def known(self) -> bool:
        """Whether anything but a name is known of it."""
        return isinstance(self.node, ModelFacts)


class Tie(msgspec.Struct, frozen=True):
    """An edge between parts; `parent` is None when a contradicted parent is no part of the bill."""

    child: int
    parent: int | None
    parent_name: str
    edge: Edge

    @property
    def stands(self) -> bool:
        """Whether it is verified or declared, not contradicted."""
        return self.edge.evidence is not Evidence.CONTRADICTED and self.parent is not None

    @property
    def carries_weights(self) -> bool:
        """Whether weights came from the parent, not outputs."""
        return self.stands and self.edge.relation is not Relation.DISTILLED


class Parts(msgspec.Struct, frozen=True):
    """The contents of a bill."""

    models: tuple[Part, ...]
    ties: tuple[Tie, ...]
    datasets: tuple[Dataset, ...]
    cut: bool
    by_child: dict[int, tuple[Tie, ...]]

    def parents_of(self, number: int) -> tuple[Tie, ...]:
        """Ties of a part to its parents."""
        return self.by_child.get(number, ())


def collect_parts(ancestry: Ancestry) -> Parts:
    """Everything a bill lists, the model itself first and then its ancestors, nearest first."""
    walked = walk(ancestry)
    keys = list(dict.fromkeys([ancestry.root, *(reached.key for reached in walked.reached)]))
    numbers = {key: number for number, key in enumerate(keys)}
    models = tuple(_part(number, ancestry.node(key), number == 0) for key, number in numbers.items())
    edges = sorted(
        (edge for group in ancestry.parents().values() for edge in group if edge.child in numbers),
        key=lambda e: (
            numbers[e.child],
            numbers.get(e.parent, -1),
            ancestry.node(e.parent).name,
            e.relation,
            e.evidence,
        ),
    )
    ties = tuple(
        Tie(numbers[edge.child], numbers.get(edge.parent), ancestry.node(edge.parent).name, edge)
        for edge in edges
    )
    datasets: dict[str, Dataset] = {}
    for part in models:
        for item in part.node.datasets if isinstance(part.node, ModelFacts) else ():
            datasets.setdefault(item.name, item)
    by_child: dict[int, tuple[Tie, ...]] = {
        number: tuple(group) for number, group in groupby(ties, key=lambda tie: tie.child)
    }
    return Parts(models, ties, tuple(datasets[name] for name in sorted(datasets)), walked.cut, by_child)


def _part(number: int, node: Node, is_subject: bool) -> Part:
    if not isinstance(node, ModelFacts):
        return Part(number, node, None)
    hashed = sorted(
        (
            file
            for file in node.files
            if file.sha256 and _HEX64.match(file.sha256) and (is_subject or _WEIGHTS.search(file.path))
        ),
        key=lambda file: file.path,
    )
    kept = tuple(hashed[:MAX_FILES])
    return Part(number, node, read_own_licence(node), kept, len(hashed) - len(kept))


def clean(text: str) -> str:
    """Text without control characters and halves of characters, cut to a bearable length; never empty."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text[:MAX_TEXT_CHARS]).strip() or "unnamed"


def safe_url(url: str | None) -> str | None:
    """The address, if it is a plain http(s) one."""
    return url if url and _URL.match(url) else None


def package_url(model: ModelFacts, hub_url: str) -> str:
    """`pkg:huggingface/owner/name@commit`, with this hub as the place to get it."""
    name = "/".join(quote(part, safe="-._~") for part in clean(model.repo).split("/") if part)
    return f"pkg:huggingface/{name}@{quote(model.commit, safe='-._~')}?repository_url={quote(hub_url, safe='-._~:/')}"


def repo_url(model: ModelFacts, hub_url: str) -> str:
    """The page of the commit on this hub."""
    name = quote(clean(model.repo), safe="-._~/")
    return f"{hub_url.rstrip('/')}/{name}/tree/{quote(model.commit, safe='-._~')}"


def facts_of(tie: Tie) -> list[tuple[str, str]]:
    """An edge as name and value, for properties."""
    edge = tie.edge
    said = [("parent", tie.parent_name), ("relation", edge.relation.value), ("evidence", edge.evidence.value)]
    extra = [("verdict", edge.verdict), ("record", edge.record)]
    return [(name, clean(value)) for name, value in [*said, *extra] if value]
