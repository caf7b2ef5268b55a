"""What licence a model itself is under: the word of its card against the text of its LICENSE files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from seedstock.openness.facts import ModelFacts
from seedstock.openness.licence_model import Licence, find_licence
from seedstock.openness.licence_report import Finding, Status
from seedstock.openness.licence_text import TextMatch, covers_weights, licences_in
from seedstock.openness.licences import Basis, DeclaredLicence, of_licence, read_card_licence


class OwnLicence(msgspec.Struct, frozen=True):
    """A model's own licence: what its card declares, or its LICENSE file where the card says nothing."""

    declared: DeclaredLicence
    texts: dict[str, tuple[TextMatch, ...]]
    findings: tuple[Finding, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether card and files together say one thing."""
        return self.declared.known and not self.findings


def read_own_licence(model: ModelFacts) -> OwnLicence:
    """Card against LICENSE text. The card's word stands unless the text says otherwise."""
    declared = read_card_licence(model.metadata.card_data)
    texts = licences_in(model.licence_texts)
    top = {path: found for path, found in texts.items() if found and covers_weights(path)}
    if not declared.known:
        named = _single(top) if declared.basis is Basis.NONE or declared.text.lower() == "other" else None
        if named is None:
            text = f"{model.name}: what licence it is under is not known ({declared.text})"
            return OwnLicence(declared, texts, (Finding(Status.UNKNOWN, "own-licence", text, (model.name,)),))
        return OwnLicence(of_licence(named, Basis.TEXT), texts)
    return OwnLicence(declared, texts, tuple(_text_findings(model, declared, top)))


def _single(top: Mapping[str, tuple[TextMatch, ...]]) -> Licence | None:
    matches = [match for found in top.values() for match in found]
    if len({match.licence for match in matches}) != 1 or any(match.modified for match in matches):
        return None
    return find_licence(matches[0].licence)


def _text_findings(
    model: ModelFacts, declared: DeclaredLicence, top: Mapping[str, tuple[TextMatch, ...]]
) -> Iterator[Finding]:
    matches = [(path, match) for path, found in top.items() for match in found]
    own = {
        part.id.removesuffix("-only").removesuffix("-or-later").removesuffix("-plus")
        for part in declared.licences
    }
    if matches and not any(match.licence in own for _, match in matches):
        path, match = matches[0]
        licence = find_licence(match.licence)
        assert licence is not None
        text = f"{model.name}: the card says {declared.text}, but {path} holds the text of {licence.label}"
        yield Finding(Status.CONFLICT, "text-differs", text, (model.name,), None, licence.url)
    for path, match in matches:
        if match.modified and match.licence in own:
            text = f"{model.name}: {path} adds conditions to {declared.text}; a person has to read them"
            yield Finding(Status.UNKNOWN, "text-modified", text, (model.name,), needs_human=True)
