"""Samples of the openness page and of the marks on cards."""

from __future__ import annotations

import msgspec

from seedstock.web.views import openness
from seedstock.web.views.common import Fact, Link, Page, ViewerView
from seedstock.web.views.evidence import SignatureState, SignatureView
from seedstock.web.views.openness import CheckState, ComponentState, LicenceStatus
from seedstock.web.views.repos import BadgesView, BuiltOnView, FoundationPanelView, LineageState
from tests.web_preview.sample_repos import ANONYMOUS, CARD, DEMO, HEADER, MODEL_URL

P, N = ComponentState.OPEN, ComponentState.OPEN_WRONG_TYPE
U, M = ComponentState.PRESENT_NOT_OPEN, ComponentState.MISSING
_PARTS = (
    (1, "Model architecture", "code", "III", P, "config.json", None),
    (2, "Final model parameters", "data", "III", P, "model.safetensors", None),
    (3, "Model card", "documentation", "III", P, "README.md", None),
    (4, "Data card", "documentation", "III", P, "demo/smoltalk-clean", None),
    (5, "Technical report", "documentation", "III", P, "arXiv:2502.02737", None),
    (6, "Evaluation results", "documentation", "III", P, "README.md", None),
    (7, "Sample model outputs", "data", "III", M, None, None),
    (8, "Training code", "code", "II", M, None, "A recipe whose stages resolve, or a repository at a commit"),
    (9, "Inference code", "code", "II", P, "library transformers", None),
    (10, "Evaluation code", "code", "II", N, "eval/run.py", "A code licence; CC-BY-4.0 is for data"),
    (11, "Evaluation data", "data", "II", U, "eval/items.jsonl", "A licence for this file"),
    (12, "Supporting libraries and tools", "code", "II", M, None, None),
    (
        13,
        "Datasets",
        "data",
        "I",
        ComponentState.UNKNOWN,
        "demo/smoltalk-clean",
        "One of two named datasets is not here",
    ),
    (14, "Data preprocessing code", "code", "I", M, None, "A script in the dataset’s repository, or a stage"),
    (15, "Intermediate checkpoints", "data", "I", M, None, "Branches step-*, or a stage’s outputs"),
    (16, "Model metadata", "data", "I", M, None, None),
    (17, "Research paper", "documentation", "I", P, "arXiv:2502.02737", None),
)


def component(
    number: int,
    name: str,
    type: str,
    mof_class: str,
    state: ComponentState,
    found: str | None,
    missing: str | None,
) -> openness.ComponentView:
    return openness.ComponentView(
        number,
        name,
        type,
        mof_class,
        state,
        optional=number in {7, 12, 16},
        licence={P: "Apache-2.0", N: "CC-BY-4.0"}.get(state),
        basis="detected" if found else None,
        evidence=Link(found, f"{MODEL_URL}/blob/main/{found}") if found else None,
        missing=missing,
    )


OWN = openness.ClassView("demo/SmolLM2-135M-Instruct", "III", MODEL_URL)
BASE = openness.ClassView(
    "HuggingFaceTB/SmolLM2-135M", "unknown", None, "not on this hub: nothing is known of its files"
)
LLAMA = Link("Llama 3.1 Community License", "https://example.org/llama3.1")
LICENCES = openness.LicenceView(
    LicenceStatus.OK,
    "Apache-2.0 here and at its base. Two duties.",
    "Apache-2.0",
    "Apache-2.0",
    f"{MODEL_URL}/blob/main/LICENSE",
    True,
    obligations=(
        openness.ObligationView(
            "Pass on a copy of the licence.", "Apache-2.0", "section 4(a)", "HuggingFaceTB/SmolLM2-135M", None,
            Link("text", "https://example.org/apache"), True,
        ),
        openness.ObligationView(
            "Say in changed files that you changed them.", "Apache-2.0", "section 4(b)", "HuggingFaceTB/SmolLM2-135M",
            None, Link("text", "https://example.org/apache"), None,
        ),
    ),
)  # fmt: skip
PAGE = openness.OpennessPage(
    HEADER,
    "Open weight",
    "Weights under an open licence; how they were made is not complete.",
    OWN,
    openness.ClassView("HuggingFaceTB/SmolLM2-135M", "unknown", None, "Nothing is known here of"),
    tuple(component(*part) for part in _PARTS),
    LICENCES,
    "II",
    (
        "Training code: a recipe.toml whose stages resolve, or a linked repository at a commit.",
        "Evaluation code under a code licence; eval/run.py is under CC-BY-4.0.",
        "A licence for eval/items.jsonl.",
    ),
    (OWN, BASE),
    CheckState.FAILS,
    (
        openness.CheckView("Parameters", CheckState.MEETS, "Weights under OSI-approved terms."),
        openness.CheckView("Code", CheckState.FAILS, "Training code is missing."),
        openness.CheckView(
            "Data information", CheckState.HUMAN, "One dataset resolves; for the other a person must judge its description."
        ),
    ),
    (
        openness.BomView("CycloneDX 1.6", f"{MODEL_URL}/bom.cdx.json", "ML-BOM, JSON"),
        openness.BomView("SPDX 3.0", f"{MODEL_URL}/bom.spdx.json", "AI profile, JSON-LD"),
    ),
    SignatureView(SignatureState.VALID, "lab-release", "Signed over 10 files of this commit.", f"{MODEL_URL}/blob/main/model.sig"),
    (Link("Openness as JSON", "/api/models/x/openness"), Link("Licences as JSON", "/api/models/x/licences")),
)  # fmt: skip
CONFLICT = msgspec.structs.replace(
    PAGE,
    grade="Weights available",
    summary="The weights can be had, under terms that restrict their use.",
    licences=openness.LicenceView(
        LicenceStatus.CONFLICT,
        "Declares MIT; a verified ancestor asks for its own terms.",
        "MIT",
        None,
        None,
        None,
        obligations=(
            openness.ObligationView(
                "Show “Built with Llama” prominently.", "Llama 3.1", "section 1.b.i", "elsewhere/llama-like-8B", None, LLAMA, False,
            ),
            openness.ObligationView(
                "Ask for a licence before serving more than 700 million monthly users.", "Llama 3.1", "section 2",
                "elsewhere/llama-like-8B", None, LLAMA, None,
            ),
        ),
        findings=(
            openness.FindingView(
                LicenceStatus.CONFLICT,
                "This model is verified to descend from elsewhere/llama-like-8B, whose Llama 3.1 terms stay with every "
                "derivative; MIT cannot replace them. Its name must also begin with “Llama”.",
                (Link("elsewhere/llama-like-8B", ""), Link("lab/middle", "/lab/middle"), Link("demo/SmolLM2-135M-Instruct", MODEL_URL)),
                "Section 1.b.i:",
                LLAMA,
                evidence_href=f"{MODEL_URL}/evidence/ev0103a41c77",
            ),
            openness.FindingView(
                LicenceStatus.NOTICE_MISSING, "The Notice text file that Llama 3.1 asks for is not in this commit.", clause="Section 1.b.iii",
            ),
            openness.FindingView(
                LicenceStatus.RELABELLED, "The card also names ada/gpl-notes, whose GPL-3.0 would not allow MIT.", asserted=False,
            ),
        ),
        permissions=(
            Fact("Commercial use", "limited"), Fact("Derivatives", "yes"), Fact("Any purpose", "no"), Fact("Improving other models", "limited"),
        ),
    ),
    next_class="III",
    chain=(OWN, openness.ClassView("lab/middle", "III", "/lab/middle"), BASE),
)  # fmt: skip
UNKNOWN = msgspec.structs.replace(
    PAGE,
    grade="Weights available",
    summary="No licence is stated.",
    own=openness.ClassView("demo/SmolLM2-135M-Instruct", "none"),
    effective=openness.ClassView("demo/SmolLM2-135M-Instruct", "none"),
    licences=openness.LicenceView(
        LicenceStatus.UNKNOWN, "Neither card nor files state a licence; unknown stays unknown."
    ),
    next_class=None,
    next_steps=(),
    chain=(),
    osaid_checks=(),
    boms=(),
    signature=None,
    json_links=(),
)
BADGES = BadgesView(LineageState.DECLARED, "Open weight", "III", "valid")
PANEL = FoundationPanelView(
    (BuiltOnView("HuggingFaceTB/SmolLM2-135M", LineageState.DECLARED, None, "finetune", None, "France"),),
    variants=12,
    licence_status="no conflict known",
    licence_tone="good",
    obligations=2,
    boms=(Link("CycloneDX", f"{MODEL_URL}/bom.cdx.json"), Link("SPDX", f"{MODEL_URL}/bom.spdx.json")),
)
CARD_FOUNDED = msgspec.structs.replace(
    CARD, header=msgspec.structs.replace(HEADER, badges=BADGES), foundation=PANEL
)
CARD_CONTRADICTED = msgspec.structs.replace(
    CARD_FOUNDED,
    header=msgspec.structs.replace(
        HEADER, badges=BadgesView(LineageState.CONTRADICTED, "Weights available", None, "invalid")
    ),
    foundation=FoundationPanelView(
        (
            BuiltOnView(
                "lab/harvest-1B",
                LineageState.CONTRADICTED,
                "/lab/harvest-1B",
                "finetune",
                f"{MODEL_URL}/evidence/x",
            ),
            BuiltOnView(
                "demo/SmolLM2-135M",
                LineageState.VERIFIED,
                MODEL_URL,
                "full fine-tune",
                f"{MODEL_URL}/evidence/y",
            ),
        ),
        analysing=True,
        licence_status="conflict",
        licence_tone="bad",
        obligations=3,
    ),
)
CARD_ROOT = msgspec.structs.replace(CARD_FOUNDED, foundation=FoundationPanelView(is_root=True, variants=1))
OPENNESS_SAMPLES: dict[str, tuple[str, Page, ViewerView]] = {
    "openness": (f"{MODEL_URL}/openness", PAGE, DEMO),
    "openness-conflict": ("/_/openness-conflict", CONFLICT, ANONYMOUS),
    "openness-unknown": ("/_/openness-unknown", UNKNOWN, DEMO),
    "card-founded": ("/_/card-founded", CARD_FOUNDED, DEMO),
    "card-contradicted": ("/_/card-contradicted", CARD_CONTRADICTED, ANONYMOUS),
    "card-root": ("/_/card-root", CARD_ROOT, ANONYMOUS),
}
