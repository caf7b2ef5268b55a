"""What one upstream licence asks of a model, held against what the model declares and the files it carries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from seedstock.openness.facts import ModelFacts, Relation
from seedstock.openness.inheritance import Reached
from seedstock.openness.licence_model import OUTPUTS, Duty, Licence, Obligation
from seedstock.openness.licence_report import Finding, Status
from seedstock.openness.licence_text import TextMatch, is_licence_file, normalise
from seedstock.openness.licences import DeclaredLicence

# Where adaptations of one share-alike licence may go instead.
_COMPATIBLE = {
    "cc-by-sa-3.0": {"cc-by-sa-4.0"},
    "cc-by-sa-4.0": {"gpl-3.0", "gpl-3.0-plus"},
}
_NOTICE_FILE = re.compile(r"(?:\A|/)notice[^/]*\Z", re.IGNORECASE)
_GNU = re.compile(r"(?:a|l)?gpl-")
_COPIES = frozenset({Relation.IDENTICAL, Relation.QUANTIZED, Relation.PERMUTED})


class Child(msgspec.Struct, frozen=True):
    """The model that inherits: what it declares, what its licence files were recognised as, and its words."""

    facts: ModelFacts
    declared: DeclaredLicence
    texts: dict[str, tuple[TextMatch, ...]]
    card: str
    notices: str

    def keeps(self, test: Callable[[Licence], bool]) -> bool:
        """Whether, whichever choice of its own licence is taken, some part passes `test`."""
        choices = self.declared.alternatives
        return bool(choices) and all(any(test(part) for part in choice) for choice in choices)

    def holds_text(self, licence: Licence) -> bool:
        """Whether one of its files holds the text of a licence."""
        return any(match.licence == licence.id for found in self.texts.values() for match in found)


def read_child(
    facts: ModelFacts, declared: DeclaredLicence, texts: dict[str, tuple[TextMatch, ...]]
) -> Child:
    """The model with the words of its card and of its NOTICE files, read once for all ancestors."""
    held = facts.licence_texts
    notices = " ".join(normalise(held[path]) for path in sorted(held) if _NOTICE_FILE.search(path))
    return Child(facts, declared, texts, normalise(facts.card_body), notices)


class _Case(msgspec.Struct, frozen=True):
    """One duty of one licence of one ancestor, asked of one model."""

    child: Child
    reached: Reached
    licence: Licence
    item: Obligation


def upstream_findings(child: Child, reached: Reached, licence: Licence) -> list[Finding]:
    """All that is wrong between a model and one licence of one ancestor."""
    bound = [item for item in licence.obligations if reached.through in item.binds]
    duties = {item.duty for item in bound}
    found: list[Finding] = []
    for item in bound:
        rule = _RULES.get(item.duty)
        if rule is None or (item.duty in _COVERED and Duty.SAME_TERMS in duties):
            continue
        case = _Case(child, reached, licence, item)
        found += [_complete(finding, case) for finding in rule(case)]
    return found


def _complete(finding: Finding, case: _Case) -> Finding:
    return msgspec.structs.replace(
        finding,
        rule=case.item.duty.value,
        path=case.reached.path,
        clause=f"{case.licence.name}, {case.item.clause}",
        source=case.licence.url,
        asserted=case.reached.asserted,
        record=case.reached.edge.record,
    )


def _finding(status: Status, text: str, *, needs_human: bool = False) -> Finding:
    return Finding(status, "", text, needs_human=needs_human)


def _origin(case: _Case) -> str:
    return f"{'teacher' if case.reached.through == OUTPUTS else 'base'} {case.reached.node.name}"


def _says(case: _Case) -> str:
    return f"{case.child.facts.name}: declares {case.child.declared.text}"


def _passed_on(case: _Case, text: str, *, needs_human: bool = False) -> Finding:
    """A duty that begins when the model is given to others: no fault yet while the repo is private."""
    if case.child.facts.private:
        return _finding(Status.OK, f"{text} (once it is passed on; the repo is private)")
    return _finding(Status.NOTICE_MISSING, text, needs_human=needs_human)


def _same_terms(case: _Case) -> Iterator[Finding]:
    if not case.child.declared.known or case.child.keeps(lambda part: part.id == case.licence.id):
        return
    text = f"{_says(case)}; {_origin(case)} requires {case.licence.short} terms"
    naming = case.licence.find(Duty.NAME_PREFIX)
    if naming and naming.value and not begins_with(case.child.facts.name, naming.value):
        text += f" and a name starting with {naming.value}"
    yield _finding(Status.RELABELLED, text)


def _use_restrictions(case: _Case) -> Iterator[Finding]:
    if case.child.declared.known and not case.child.keeps(lambda part: part.use_restrictions):
        text = f"{_says(case)}; {_origin(case)} requires its use restrictions ({case.licence.short}) to be passed on"
        yield _finding(Status.RELABELLED, text)


def _noncommercial(case: _Case) -> Iterator[Finding]:
    if case.child.declared.allows_commercial_use:
        text = f"{_says(case)}, which permits commercial use; {_origin(case)} ({case.licence.label}) does not"
        yield _finding(Status.RELABELLED, text)


def _share_alike(case: _Case) -> Iterator[Finding]:
    allowed = {case.licence.id, *_COMPATIBLE.get(case.licence.id, ())}
    if case.child.declared.known and not case.child.keeps(lambda part: part.id in allowed):
        text = f"{_says(case)}; {_origin(case)} requires {case.licence.label} or a compatible licence"
        yield _finding(Status.RELABELLED, text)


def _copyleft(case: _Case) -> Iterator[Finding]:
    family = _GNU.match(case.licence.id)
    if not case.child.declared.known or case.child.keeps(
        lambda part: part.id == case.licence.id or bool(family and _GNU.match(part.id))
    ):
        return
    text = (
        f"{_says(case)}; {_origin(case)} is under {case.licence.label}, which asks for the same licence."
        " Whether that reaches weights is contested: a person has to decide"
    )
    yield _finding(Status.RELABELLED, text, needs_human=True)


def _no_derivatives(case: _Case) -> Iterator[Finding]:
    if case.reached.edge.relation in _COPIES and len(case.reached.path) == 2:
        text = (
            f"{_origin(case)} ({case.licence.label}) may not be shared in adapted form; whether a"
            f" {case.reached.edge.relation.value} copy is one, a person has to decide"
        )
        yield _finding(Status.UNKNOWN, text, needs_human=True)
        return
    text = f"{_origin(case)} ({case.licence.label}) may not be shared in adapted form"
    yield _finding(Status.CONFLICT, text)


def _no_train_others(case: _Case) -> Iterator[Finding]:
    if case.reached.through == OUTPUTS and not case.child.keeps(lambda part: part.id == case.licence.id):
        text = f"{_origin(case)} ({case.licence.name}) forbids using its outputs to improve other language models"
        yield _finding(Status.CONFLICT, text)


def _name_prefix(case: _Case) -> Iterator[Finding]:
    if case.item.value and not begins_with(case.child.facts.name, case.item.value):
        text = f"the name '{case.child.facts.name}' does not begin with '{case.item.value}', as {_origin(case)} requires"
        yield _passed_on(case, text)


def _licence_copy(case: _Case) -> Iterator[Finding]:
    if case.child.holds_text(case.licence):
        return
    unread = sorted(path for path, found in case.child.texts.items() if not found)
    if unread:
        text = f"whether {unread[0]} is the copy of {case.licence.name} that {_origin(case)} requires was not recognised"
        yield _passed_on(case, text, needs_human=True)
    else:
        yield _passed_on(
            case,
            f"no copy of {case.licence.name} is among the files; {_origin(case)} requires one",
        )


def _notice_file(case: _Case) -> Iterator[Finding]:
    if case.item.value and normalise(case.item.value) not in case.child.notices:
        yield _passed_on(
            case,
            f"no NOTICE file says '{case.item.value} …'; {_origin(case)} requires one that does",
        )


def _notice(case: _Case) -> Iterator[Finding]:
    if case.child.holds_text(case.licence) or case.child.notices:
        return
    if any(is_licence_file(path) and not found for path, found in case.child.texts.items()):
        return  # a text that was not recognised may be the notice
    text = f"the {case.licence.label} notice of {_origin(case)} is not among the files"
    yield _passed_on(case, text)


def _attribution(case: _Case) -> Iterator[Finding]:
    node, child = case.reached.node, case.child
    bases = child.facts.metadata.base_models
    if node.repo in (bases.models if bases else ()):
        return
    if normalise(node.name) not in f"{child.card} {child.notices}":
        yield _passed_on(
            case, f"{_origin(case)} ({case.licence.label}) is not credited in the card or a NOTICE file"
        )


def _display(case: _Case) -> Iterator[Finding]:
    wanted = (case.item.value or "").split("|")
    if not any(normalise(phrase) in case.child.card + " " + case.child.notices for phrase in wanted):
        shown = "' or '".join(wanted)
        yield _passed_on(
            case, f"the card does not say '{shown}', as {_origin(case)} ({case.licence.name}) requires"
        )


def begins_with(name: str, prefix: str) -> bool:
    """Whether a name begins with a prefix, going by letters and digits only: `Llama-3-8B` begins with `Llama 3`."""
    return normalise(name).replace(" ", "").startswith(normalise(prefix).replace(" ", ""))


_Rule = Callable[[_Case], Iterator[Finding]]
_RULES: dict[Duty, _Rule] = {
    Duty.SAME_TERMS: _same_terms,
    Duty.USE_RESTRICTIONS: _use_restrictions,
    Duty.NONCOMMERCIAL: _noncommercial,
    Duty.SHARE_ALIKE: _share_alike,
    Duty.COPYLEFT: _copyleft,
    Duty.NO_DERIVATIVES: _no_derivatives,
    Duty.NO_TRAIN_OTHERS: _no_train_others,
    Duty.NAME_PREFIX: _name_prefix,
    Duty.LICENCE_COPY: _licence_copy,
    Duty.NOTICE_FILE: _notice_file,
    Duty.NOTICE: _notice,
    Duty.ATTRIBUTION: _attribution,
    Duty.DISPLAY: _display,
}
# Kept when the terms themselves are kept; reported once, as the terms.
_COVERED = frozenset({Duty.USE_RESTRICTIONS, Duty.NONCOMMERCIAL})
