"""Screenshots of the sample pages: `python -m tests.web_preview.shoot OUT_DIR [name ...]`, with serve.py running.

Light and dark at 1280 px and light at 390 px. Fails when a page logs an error, breaks the content security
policy or is wider than a phone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.web_preview.sample_pages import SAMPLES
from tests.web_preview.serve import PORT

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOOKS = {"light": ("light", 1280, 860), "dark": ("dark", 1280, 860), "phone": ("light", 390, 844)}


def shoot(browser: Browser, look: str, names: list[str], out: Path) -> list[str]:
    scheme, width, height = LOOKS[look]
    problems: list[str] = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})  # type: ignore[arg-type]
    page = context.new_page()
    for name in names:
        messages: list[str] = []
        page.on(
            "console",
            lambda message, into=messages: into.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error, into=messages: into.append(str(error)))
        page.goto(f"http://127.0.0.1:{PORT}{SAMPLES[name][0]}")
        page.wait_for_load_state("networkidle")
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            messages.append("wider than the window")
        page.screenshot(path=out / f"{name}-{look}.png", full_page=True)
        problems += [f"{name} {look}: {message}" for message in messages]
    context.close()
    return problems


def main() -> int:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    names = sys.argv[2:] or list(SAMPLES)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        problems = [problem for look in LOOKS for problem in shoot(browser, look, names, out)]
        browser.close()
    print("\n".join(problems) or "no problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
