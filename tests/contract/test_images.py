"""Images that the stock openai client sends to a model that sees, held to transformers itself."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from huggingface_hub import HfApi
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from tests.contract.models import hello, publish
from tests.contract.server import HubProcess
from tests.factories.tiny_transformers import write_llava

__all__ = ["hello", "publish"]
pytestmark = pytest.mark.xdist_group("images")


def published(hub: HubProcess, folder: Path, name: str) -> str:
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.create_repo(f"ada/{name}")
    api.upload_folder(repo_id=f"ada/{name}", folder_path=str(folder))
    return f"ada/{name}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava(tmp_path_factory.mktemp("llava") / "model")


@pytest.fixture(scope="module")
def seer(hub: HubProcess, folder: Path) -> str:
    return published(hub, folder, "small-llava")


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


def picture(colour: str, kind: str = "PNG") -> Image.Image:
    image = Image.new("RGB", (50, 40), colour)
    image.paste("white", (5, 5, 20, 30))
    kept = BytesIO()
    image.save(kept, kind)
    return Image.open(kept)


def data_url(image: Image.Image) -> str:
    kept = BytesIO()
    image.save(kept, "PNG")
    return "data:image/png;base64," + base64.b64encode(kept.getvalue()).decode()


def asked(*urls: str, text: str = "what is it?") -> Any:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {
        "messages": [{"role": "user", "content": [*images, {"type": "text", "text": text}]}],
        "max_tokens": 6,
        "temperature": 0,
    }


def said(client: openai.OpenAI, name: str, asked: Any) -> list[float]:
    answer = client.chat.completions.create(
        model=name, **asked, logprobs=True, extra_body={"ignore_eos": True}
    )
    found = answer.choices[0].logprobs
    assert found is not None
    return [one.logprob for one in found.content or []]


@torch.inference_mode()
def expected(folder: Path, images: list[Image.Image], text: str = "what is it?") -> list[float]:
    processor: Any = AutoProcessor.from_pretrained(str(folder))
    model: Any = AutoModelForImageTextToText.from_pretrained(str(folder), dtype=torch.float32).eval()
    content = [*({"type": "image"} for _ in images), {"type": "text", "text": text}]
    written = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    inputs = dict(
        processor(text=[written], images=images or None, return_tensors="pt", add_special_tokens=False)
    )
    found = []
    for _ in range(6):
        step = torch.log_softmax(model(**inputs).logits[0, -1], dim=-1)
        found.append(float(step.max()))
        inputs["input_ids"] = torch.cat([inputs["input_ids"], step.argmax().view(1, 1)], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return found


def test_a_model_sees_what_transformers_shows_it(seer: str, folder: Path, client: openai.OpenAI) -> None:
    red, blue = picture("red"), picture("blue")
    wanted = {colour: expected(folder, [image]) for colour, image in (("red", red), ("blue", blue))}
    assert abs(wanted["red"][0] - wanted["blue"][0]) > 0.001
    for colour, image in (("red", red), ("blue", blue)):
        assert said(client, seer, asked(data_url(image))) == pytest.approx(wanted[colour], abs=1e-3)
    both = asked(data_url(red), data_url(blue))
    assert said(client, seer, both) == pytest.approx(expected(folder, [red, blue]), abs=1e-3)
    assert said(client, seer, asked()) == pytest.approx(expected(folder, []), abs=1e-3)
    plain: Any = {"messages": [{"role": "user", "content": "what is it?"}], "max_tokens": 6, "temperature": 0}
    assert said(client, seer, plain) == pytest.approx(expected(folder, []), abs=1e-3)
    events = client.chat.completions.create(model=seer, **asked(data_url(red)), stream=True)
    assert [event.choices[0].finish_reason for event in events][-1]


def bomb(width: int, height: int) -> str:
    """A PNG of a few bytes that says it has very many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 1_000_000, 9))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b"")).decode()


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (asked("http://127.0.0.1:1/cat.png"), "none is fetched"),
        (asked("file:///etc/passwd"), "none is fetched"),
        (asked("data:image/png;base64," + bomb(60_000, 60_000)), "pixels"),
        (asked("data:image/png;base64," + bomb(5000, 3500)), "pixels"),
        (asked("data:image/png;base64," + bomb(300, 300)[:200]), "cannot be read|base64|is no PNG"),
        (asked("data:image/png;base64,aGVsbG8="), "is no PNG"),
        (asked("data:image/png;base64,%%%"), "base64"),
        (asked("data:text/html,<b>"), "data:image"),
        (asked(*[data_url(picture("red"))] * 5), "4 images"),
        (asked(data_url(picture("red")), text="<image>"), "stands for an image"),
        ({"messages": [{"role": "system", "content": asked(data_url(picture("red")))["messages"][0]["content"]}]}, "user"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_refused(seer: str, client: openai.OpenAI, wanted: Any, says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        client.chat.completions.create(model=seer, **wanted)


def test_models_that_do_not_see_say_so(
    hub: HubProcess, client: openai.OpenAI, http: httpx.Client, seer: str, hello: str
) -> None:
    with pytest.raises(openai.BadRequestError, match="takes no images"):
        client.chat.completions.create(model=hello, **asked(data_url(picture("red"))))
    hub.admin("jobs", "--wait")
    told = http.get(f"/v1/models/{seer}").json()
    assert told["fits"] is True
    assert seer in {model.id for model in client.models.list()}
