"""What an analysis says of one other model: the declaration, what the weights show, and what follows from both.

The two are kept apart to the end. A declaration never makes a verdict; weights never make a declaration. The one
thing that is drawn from both is the role: weights alone seldom tell which of two models came first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from seedstock.db.repos import RepoRow
from seedstock.lineage.declared import Declared
from seedstock.lineage.graph import POSITIVE
from seedstock.lineage.pairing import Pairing
from seedstock.lineage.revisions import ModelRevision

CONTRADICTED = "contradicted"
_EQUAL_COSINE = 0.99998
"""Of the tensor that agrees least. Rounding to bfloat16 leaves 0.999999; a low-rank update of rank 8 left 0.998."""
PREDICATE = "urn:seedstock:lineage-evidence:1"
_EVIDENCE = "direction statistics thresholds error_rate facts per_layer shared_tensors tensors_read bytes_read".split()


class Finding(msgspec.Struct, frozen=True):
    """One edge. `other` is None for a base that is not in this hub."""

    other: ModelRevision | None
    declared: Declared | None = None
    pairing: Pairing | None = None
    kind: str | None = None
    """Of a merge that was found afterwards; else the pairing's."""
    coefficient: float | None = None
    merge: dict[str, Any] | None = None
    parent_is_late: bool = False
    """Whether the one that weights would make the parent came to this hub after the other."""

    @property
    def verdict(self) -> str | None:
        """What the weights say of the declaration, or of the pair where nothing is declared."""
        if self.pairing is None:
            return None
        if self.pairing.verdict == "none" and self.declared is not None:
            return CONTRADICTED
        return self.pairing.verdict

    @property
    def is_positive(self) -> bool:
        """Whether the weights show that one comes from the other."""
        return self.verdict in POSITIVE

    @property
    def role(self) -> str:
        """What the other is to this repo: by declaration, else by weights where these are certain."""
        if self.declared is not None:
            return "parent"
        direction = certain_direction(self.pairing.result) if self.pairing else None
        if self.parent_is_late:
            # Added layers, or noise below the step of a quantised model, make a false parent of any model.
            return "relative"
        return {"a_from_b": "parent", "b_from_a": "child"}.get(direction or "", "relative")

    @property
    def is_kept(self) -> bool:
        """Declarations always; discoveries only if the weights show something."""
        return self.declared is not None or self.verdict in {*POSITIVE, "partial"}

    @property
    def evidence(self) -> dict[str, Any] | None:
        """Every figure behind the verdict."""
        if self.pairing is None:
            return None
        kept = {name: self.pairing.result.get(name) for name in _EVIDENCE}
        kept["files"] = self.pairing.files
        kept["weight_files"] = {
            "compared": self.pairing.compared,
            "agreeing": self.pairing.agreeing,
            "left_out": self.pairing.left_out,
        }
        if self.merge is not None:
            kept["merge"] = self.merge
        return kept

    @property
    def reason(self) -> str:
        """One sentence."""
        if self.pairing is not None:
            return str(self.pairing.result.get("reason", ""))
        if self.other is None:
            return "The named base is not in this hub, so that nothing could be compared"
        return "One of the two has no weights that can be compared"

    @property
    def columns(self) -> dict[str, Any]:
        """The edge as it is stored."""
        found = self.pairing.result if self.pairing else {}
        coefficient = self.coefficient if self.coefficient is not None else found.get("coefficient")
        return {
            "other_repo_id": self.other.repo.id if self.other else None,
            "other_commit": self.other.commit_oid if self.other else None,
            "declared_name": self.declared.name[:250] if self.declared else None,
            "declared": self.declared.relation if self.declared else None,
            "source": self.declared.source[:250] if self.declared else None,
            "role": self.role,
            "verdict": self.verdict,
            "kind": self.kind or found.get("kind"),
            "coefficient": coefficient,
            "method": found.get("method"),
            "reason": self.reason,
            "evidence": self.evidence,
        }


def certain_direction(result: Mapping[str, Any]) -> str | None:
    """`a_from_b` or `b_from_a` where the weights show which of two came from the other itself.

    A pruned model is certainly the younger one, yet it may come from a sibling of the other: only if what was kept
    is equal but for rounding is the other its parent.
    """
    direction: str | None = result.get("direction")
    if direction is None or result.get("kind") != "pruned":
        return direction
    least = (result.get("statistics") or {}).get("cosine_least")
    return direction if isinstance(least, int | float) and least >= _EQUAL_COSINE else None


def statement(revision: ModelRevision, finding: Finding, at: str) -> dict[str, Any]:
    """The finding as an in-toto Statement v1 about the files of both models."""
    assert finding.other is not None
    assert finding.pairing is not None
    sides = ((revision, finding.pairing.files["this"]), (finding.other, finding.pairing.files["other"]))
    subject = [
        {"name": f"{side.name}@{side.commit_oid}:{path}", "digest": _digest_set(digest)}
        for side, files in sides
        for path, digest in files.items()
    ]
    predicate = {key: value for key, value in finding.columns.items() if not key.startswith("other_")}
    predicate |= {
        "model": {"repo": revision.name, "commit": revision.commit_oid},
        "other": {"repo": finding.other.name, "commit": finding.other.commit_oid},
        "declared_commit": finding.declared.commit if finding.declared else None,
        "compared_at": at,
    }
    return {"subject": subject, "predicateType": PREDICATE, "predicate": predicate}


def _digest_set(digest: str) -> dict[str, str]:
    """In in-toto's names: small files that git holds have its object id only."""
    if digest.startswith("git:"):
        return {"gitBlob": digest.removeprefix("git:")}
    return {"sha256": digest}


def badge(findings: Iterable[Finding], repo: RepoRow, present: Mapping[int, RepoRow]) -> str | None:
    """What a repo's foundations rest on, in one word, for lists; `present` holds the others as they are now.

    It says only what everybody may know who can see it. A base that they may not all see counts as one that is not
    here: else a private upload would tell its owner what others hide.
    """
    told = [item for finding in findings for item in _told(finding, repo, present)]
    declared = [finding for finding in told if finding.declared is not None]
    if any(finding.verdict == CONTRADICTED for finding in declared):
        return CONTRADICTED
    if declared:
        return "verified" if all(finding.is_positive for finding in declared) else "declared"
    return "related" if told else None


def _told(finding: Finding, repo: RepoRow, present: Mapping[int, RepoRow]) -> list[Finding]:
    other = present.get(finding.other.repo.id) if finding.other is not None else None
    known = other is not None and (
        not other.private or (repo.private and other.namespace_id == repo.namespace_id)
    )
    if known:
        return [finding]
    return [Finding(None, finding.declared)] if finding.declared is not None else []
