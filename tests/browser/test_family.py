"""The family graph and the trace page in Chromium, with the sample pages and the product's own policy."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watch
from tests.conftest import need

pytestmark = pytest.mark.system("chromium")

FAMILY = "/demo/SmolLM2-135M-Instruct/family"
BIG = "/demo/big-family/family"
INTERACTIVE_MS = 1000  # what 5,000 models may take; the best of three counts, since the machine may be busy
FRAME_MS = 34  # two frames of a 60 Hz screen; an idle machine needs one
_ROOT = Path(__file__).parents[2]
_READY_S = 30


@pytest.fixture(scope="module")
def samples() -> Iterator[str]:
    """The address of a server of the sample pages."""
    need("chromium")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.web_preview.serve", str(port)]
    paths = f"{_ROOT / 'src'}:{_ROOT}"
    process = subprocess.Popen(
        command, cwd=_ROOT, env={"PYTHONPATH": paths}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/trace", process)
        yield url
    finally:
        process.terminate()
        process.wait(_READY_S)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _READY_S
    while True:
        try:
            with urllib.request.urlopen(url):
                return
        except URLError:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.fixture
def page(browser: Browser, samples: str) -> Iterator[Page]:
    context = browser.new_context(base_url=samples, viewport={"width": 1280, "height": 860})
    context.set_default_timeout(15_000)
    watch = Watch(context, samples)
    yield context.new_page()
    context.close()
    assert watch.faults == []


def open_graph(page: Page, path: str = FAMILY) -> None:
    page.goto(path)
    page.wait_for_selector("#family[data-ready]")
    page.locator("#family").scroll_into_view_if_needed()


def test_the_graph_is_drawn(page: Page) -> None:
    open_graph(page)
    expect(page.locator("#family-status")).to_have_text("11 models, 11 links")
    drawn = """() => {
      const canvas = document.getElementById("family-canvas");
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return new Set(new Uint32Array(pixels.buffer)).size;
    }"""
    assert page.evaluate(drawn) > 50


def test_arrow_keys_walk_along_edges_and_are_announced(page: Page) -> None:
    open_graph(page)
    said = page.locator("#announcer")
    page.focus("#family-canvas")
    expect(said).to_contain_text("demo/SmolLM2-135M-Instruct, this model")
    page.keyboard.press("ArrowLeft")
    expect(said).to_contain_text("HuggingFaceTB/SmolLM2-135M; 0 parents, 2 children")
    page.keyboard.press("ArrowLeft")
    expect(said).to_have_text("Nothing further in this direction")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    first = said.text_content()
    expect(said).to_contain_text("of demo/SmolLM2-135M-Instruct")
    page.keyboard.press("ArrowDown")
    expect(said).not_to_have_text(first or "")


def test_enter_opens_a_model_and_escape_returns(page: Page) -> None:
    open_graph(page)
    page.focus("#family-canvas")
    page.keyboard.press("Enter")
    panel = page.locator("#family-panel")
    expect(panel.locator("h3")).to_have_text("demo/SmolLM2-135M-Instruct")
    expect(panel).to_contain_text("Switzerland")
    expect(panel).to_contain_text("Built on this (5)")
    expect(panel).to_contain_text("Claim to be built on this (1)")
    expect(panel.locator("h3 a")).to_be_focused()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator("#family-canvas")).to_be_focused()


def test_e_reads_the_evidence_of_each_edge_in_turn(page: Page) -> None:
    open_graph(page)
    page.focus("#family-canvas")
    page.keyboard.press("e")
    panel = page.locator("#family-panel")
    expect(panel).to_contain_text("The weights have not been compared")
    for _ in range(2):
        page.keyboard.press("e")
    expect(panel).to_contain_text("Neuron agreement")
    expect(panel).to_contain_text("pairwise@1")
    expect(panel).to_contain_text("What was read")
    expect(panel.get_by_role("link", name="Download")).to_have_attribute("href", re.compile("download=true"))
    expect(panel.get_by_role("link", name="Open the full record")).to_have_attribute(
        "href", re.compile("/evidence/ev")
    )


def edge_point(page: Page) -> tuple[float, float]:
    """A point on an edge, found as a reader does: by moving until the hint names one."""
    box = page.locator("#family-canvas").bounding_box()
    assert box is not None
    tip = page.locator("#family-tip")
    for x in range(40, int(box["width"]) - 40, 9):
        point = (box["x"] + x, box["y"] + box["height"] * 0.55)
        page.mouse.move(*point)
        if tip.is_visible() and "of HuggingFaceTB" in (tip.text_content() or ""):
            return point
    raise AssertionError("no edge under the line")


def test_a_click_on_an_edge_opens_its_evidence(page: Page) -> None:
    open_graph(page)
    page.mouse.click(*edge_point(page))
    panel = page.locator("#family-panel")
    expect(panel.locator("h3")).to_have_text("Evidence")
    expect(panel).to_contain_text("Declared only")
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()


def test_a_filter_works_on_the_graph_and_on_the_table(page: Page) -> None:
    open_graph(page)
    page.select_option("#filter-evidence", "contradicted")
    expect(page.locator("#family-status")).to_have_text("1 of 11 models match")
    rows = page.locator(".family-table tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("ada/own-from-scratch-135M")
    page.select_option("#filter-evidence", "")
    page.fill("#family-search", "kers-none")
    expect(page.locator("#family-status")).to_have_text("0 of 11 models match")
    expect(page.locator("#table")).to_contain_text("No model of the family matches")


def test_wheel_keys_and_buttons_move_the_view(page: Page) -> None:
    open_graph(page)
    shot = page.locator("#family-canvas").screenshot
    before = shot()
    page.hover("#family-canvas")
    scrolled = page.evaluate("scrollY")
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(100)
    zoomed = shot()
    assert zoomed != before
    assert page.evaluate("scrollY") == scrolled, "the wheel zooms and does not scroll"
    page.focus("#family-canvas")
    for key in ("-", "Shift+ArrowLeft", "+"):
        previous = shot()
        page.keyboard.press(key)
        page.wait_for_timeout(60)
        assert shot() != previous, key
    page.get_by_role("button", name="Show all").click()
    page.wait_for_timeout(300)
    assert shot() != zoomed


def test_two_fingers_zoom_and_one_pans(browser: Browser, samples: str) -> None:
    context = browser.new_context(base_url=samples, viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    open_graph(page)
    box = page.locator("#family-canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    devtools = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": px, "y": py, "id": at} for at, (px, py) in enumerate(points)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    shots = [page.locator("#family-canvas").screenshot()]
    for gesture in (
        [((x - 20, y), (x + 20, y)), ((x - 60, y), (x + 60, y)), ((x - 90, y), (x + 90, y))],
        [((x, y),), ((x - 40, y - 20),), ((x - 90, y - 40),)],
    ):
        touch("touchStart", *gesture[0])
        for points in gesture[1:]:
            touch("touchMove", *points)
        touch("touchEnd")
        page.wait_for_timeout(80)
        shots.append(page.locator("#family-canvas").screenshot())
    assert len(set(shots)) == 3
    assert page.evaluate("visualViewport.scale") == 1
    context.close()


def test_colours_follow_the_theme(page: Page) -> None:
    open_graph(page)
    before = page.locator("#family-canvas").screenshot()
    page.locator("[data-theme-toggle]").click()
    page.wait_for_timeout(100)
    assert page.locator("#family-canvas").screenshot() != before


@pytest.mark.parametrize("way", ["sort", "page", "filter"])
def test_the_table_works_without_a_script(browser: Browser, samples: str, way: str) -> None:
    context = browser.new_context(base_url=samples, java_script_enabled=False)
    page = context.new_page()
    page.goto(BIG)
    expect(page.locator("#family")).to_be_hidden()
    rows = page.locator(".family-table tbody tr")
    expect(rows).to_have_count(200)
    if way == "sort":
        page.get_by_role("link", name="Downloads", exact=True).click()
        expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("Downloads"))
    elif way == "page":
        page.get_by_role("link", name="Next").click()
        expect(page.locator(".pagination")).to_contain_text("201–400 of 5,000")
    else:
        page.select_option("#filter-relation", "pruned")
        page.get_by_role("button", name="Filter").click()
        expect(page.locator("#table-title")).to_have_text("Models that match")
    expect(rows).not_to_have_count(0)
    context.close()


# One step of a drag for each frame; times between frames in ms, sorted.
_DRAG = """async () => {
  const canvas = document.getElementById("family-canvas");
  const box = canvas.getBoundingClientRect();
  const send = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, clientX: box.left + box.width / 2 + x, clientY: box.top + box.height / 2 + y, buttons: 1,
  }));
  canvas.setPointerCapture = () => {};
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => resolve(performance.now())));
  send("pointerdown", 0, 0);
  const gaps = [];
  let last = await frame();
  for (let step = 1; step <= 40; step += 1) {
    send("pointermove", 6 * (step < 20 ? step : 40 - step), 2 * step);
    const now = await frame();
    gaps.push(now - last);
    last = now;
  }
  send("pointerup", 0, 80);
  return gaps.sort((a, b) => a - b);
}"""


def drag(page: Page) -> float:
    """Pan back and forth; the median time between frames in ms."""
    gaps: list[float] = page.evaluate(_DRAG)
    return gaps[len(gaps) // 2]


def test_five_thousand_models_are_interactive_within_a_second(page: Page) -> None:
    open_graph(
        page, BIG
    )  # once, so that the server has rendered the samples and the browser has read the scripts
    ready, gaps = [], []
    for _ in range(3):
        open_graph(page, BIG)
        ready.append(int(page.get_attribute("#family", "data-ready") or 0))
        gaps.append(drag(page))
    expect(page.locator("#family-status")).to_have_text(re.compile("^5,000 models"))
    page.get_by_role("button", name="Show all").click()
    page.wait_for_timeout(400)
    far = [drag(page) for _ in range(3)]
    near = [round(gap, 1) for gap in sorted(gaps)]
    print(
        f"ready after {sorted(ready)} ms; median frame {near} ms near, {[round(gap, 1) for gap in sorted(far)]} far"
    )
    assert min(ready) <= INTERACTIVE_MS
    assert min(gaps) <= FRAME_MS
    assert min(far) <= FRAME_MS


def test_the_layout_takes_time_in_proportion(page: Page) -> None:
    open_graph(page)
    measured = page.evaluate(
        """async () => {
          const source = document.querySelector('script[src*="/family.js"]').src;
          const { layout } = await import(source.replace("family.js", "family-layout.js"));
          const of = (count) => {
            const sources = new Int32Array(count - 1), targets = new Int32Array(count - 1);
            for (let i = 1; i < count; i += 1) { sources[i - 1] = (i * 7919) % Math.ceil(i / 9); targets[i - 1] = i; }
            const start = performance.now();
            const { x, y } = layout({ count, sources, targets, directed: new Uint8Array(count - 1).fill(1), aspect: 2 });
            const seats = new Set(Array.from(x, (value, i) => `${value},${y[i]}`));
            return [performance.now() - start, seats.size];
          };
          of(2000);
          return [of(5000), of(50000)];
        }"""
    )
    (small_ms, small), (large_ms, large) = measured
    assert (small, large) == (5000, 50000), "two models in one place"
    assert small_ms < 1000
    assert large_ms < 40 * max(small_ms, 25)


def test_cycles_and_islands_are_laid_out(page: Page) -> None:
    open_graph(page)
    placed = page.evaluate(
        """async () => {
          const source = document.querySelector('script[src*="/family.js"]').src;
          const { layout } = await import(source.replace("family.js", "family-layout.js"));
          const edges = [[0, 1, 1], [1, 2, 1], [2, 0, 1], [3, 4, 0], [5, 5, 1]];
          const column = (at) => Int32Array.from(edges, (edge) => edge[at]);
          const { x, y } = layout({ count: 7, sources: column(0), targets: column(1), directed: column(2), aspect: 1 });
          return Array.from(x, (value, i) => [value, y[i]]);
        }"""
    )
    assert len({tuple(point) for point in placed}) == 7
    assert all(value == value for point in placed for value in point), "not a number"


def test_tracing_a_file_shows_progress_and_the_answer(page: Page, tmp_path: Path) -> None:
    page.goto("/trace")
    (tmp_path / "model.safetensors").write_bytes(bytes(100_000))
    page.set_input_files("#file", tmp_path / "model.safetensors")
    expect(page.locator("#trace-rows")).to_contain_text("demo/SmolLM2-135M-Instruct")
    expect(page.locator("#trace-rows")).to_contain_text("Derived")
    expect(page.locator("#result-title")).to_have_text("Related to model.safetensors")
    (tmp_path / "strange.gguf").write_bytes(b"GGUF")
    page.set_input_files("#file", tmp_path / "strange.gguf")
    expect(page.locator("#trace-none")).to_contain_text("does not prove independence")
    (tmp_path / "notes.txt").write_text("no weights")
    page.set_input_files("#file", tmp_path / "notes.txt")
    expect(page.locator("#trace-error")).to_contain_text("notes.txt is neither")


def test_tracing_a_repo(page: Page) -> None:
    page.goto("/trace")
    page.fill("#repo", "lab/countdown-grpo-135M")
    page.keyboard.press("Enter")
    expect(page.locator("#result-title")).to_have_text("Related to lab/countdown-grpo-135M")
    expect(page.locator("#trace-rows a")).to_have_attribute("href", "/demo/SmolLM2-135M-Instruct")
