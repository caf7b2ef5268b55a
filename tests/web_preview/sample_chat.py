"""Sample pages: chat, a shared chat, compared models, the arena."""

from __future__ import annotations

from datetime import timedelta

from seedstock.arena.table import make_table
from seedstock.web.markdown import render_answer
from seedstock.web.pages.compare import page_of
from seedstock.web.views import chat, run
from seedstock.web.views.common import Page, ViewerView
from tests.web_preview.sample_repos import ANONYMOUS, DEMO, HEADER, NOW

_STARTERS = ("What is grafting?", "Write a haiku about roots", "Explain LoRA to a gardener")
_ANSWER = """Grafting joins two plants so that they grow as **one**:

1. The *rootstock* brings the roots.
2. The *scion* brings fruit or flowers.

| Part | Brings |
|---|---|
| Rootstock | vigour |

```python
graft = join(rootstock, scion)
```

<img src=x onerror=alert(1)> is shown as text; see https://example.org.
"""
SHARED = chat.SharedChatPage(
    title="What is grafting?",
    system="You are a gardener of few words.",
    shared_at=NOW - timedelta(days=2),
    messages=(
        chat.SharedMessageView(
            True, "What is grafting?", files=(chat.SharedFileView("notes.txt", "Scion on top."),)
        ),
        chat.SharedMessageView(
            False,
            html=render_answer(_ANSWER),
            model="demo/SmolLM2-135M-Instruct",
            reasoning="Scion on top, rootstock below; keep it short.",
        ),
    ),
)
_A, _B, _C, _D = (1, ""), (2, "Q4_K_M"), (3, ""), (4, "")
_NAMES = {
    _A: "demo/SmolLM2-135M-Instruct",
    _B: "demo/SmolLM2-135M-Instruct:Q4_K_M",
    _C: "lab/tiny",
    _D: "lab/new",
}
ARENA = page_of(
    make_table(
        {
            ((_A, _B), "0"): 31,
            ((_A, _B), "1"): 22,
            ((_B, _A), "tie"): 9,
            ((_A, _C), "0"): 44,
            ((_C, _A), "0"): 8,
            ((_C, _B), "1"): 20,
            ((_C, _B), "0"): 11,
            ((_D, _C), "0"): 2,
        },
        _NAMES,
        0,
    )
)
CHAT_SAMPLES: dict[str, tuple[str, Page, ViewerView]] = {
    "chat": ("/chat", chat.ChatPage(starters=_STARTERS), DEMO),
    "chat-stranger": (
        "/_/chat-stranger",
        chat.ChatPage(blocked="Sign in to run models on this hub."),
        ANONYMOUS,
    ),
    "chat-blocked": (
        "/_/chat-blocked",
        run.ChatBlockedPage(HEADER, "Sign in to run models on this hub."),
        ANONYMOUS,
    ),
    "chat-shared": ("/chat/shared/1-a", SHARED, ANONYMOUS),
    "compare": ("/compare", chat.ComparePage(), DEMO),
    "compare-stranger": ("/_/compare-stranger", chat.ComparePage(blocked="Sign in to compare."), ANONYMOUS),
    "arena": ("/arena", ARENA, DEMO),
    "arena-empty": ("/_/arena-empty", chat.ArenaPage(0, 10), ANONYMOUS),
}
