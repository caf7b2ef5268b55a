"""Images of a request: out of its data: URLs, read by Pillow within limits. Nothing is fetched."""

from __future__ import annotations

import base64
import binascii
import re
from io import BytesIO
from typing import Any

from seedstock.core.errors import Invalid
from seedstock.run.engines.transformers_memory import MAX_IMAGES, MAX_PIXELS

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_URL = re.compile(r"data:image/[\w.+-]{1,40};base64,")


def urls_of(messages: list[Any]) -> list[str]:
    """The images of a chat, in their order."""
    return [
        part["image_url"]["url"]
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
        if part["type"] == "image_url"
    ]


def read_images(urls: list[str]) -> list[Any]:
    """Each as Pillow holds it, in three colours. Raises Invalid, also for more pixels than are borne."""
    if len(urls) > MAX_IMAGES:
        raise Invalid(f"A request may hold {MAX_IMAGES} images, and this has {len(urls)}")
    room, found = MAX_PIXELS, []
    for number, url in enumerate(urls, 1):
        image = _opened(url, f"Image {number}")
        room -= image.width * image.height
        if room < 0:  # known from the header, before any pixel is unpacked
            raise Invalid(
                f"Image {number} has {image.width} x {image.height} pixels; all together may have {MAX_PIXELS}"
            )
        try:
            found.append(image.convert("RGB"))
        except Exception as error:  # noqa: BLE001 - Pillow's readers raise what they come upon
            raise Invalid(f"Image {number} cannot be read: {str(error)[:200]}") from None
    return found


def _opened(url: str, called: str) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise Invalid("Images need Pillow, which this hub lacks: pip install 'seedstock[adapt]'") from None
    head = _URL.match(url)
    if head is None:
        raise Invalid(f"{called} is no data:image/…;base64, URL")
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        return Image.open(BytesIO(base64.b64decode(url[head.end() :], validate=True)), formats=_FORMATS)
    except binascii.Error:
        raise Invalid(f"{called} is not in base64") from None
    except Image.DecompressionBombError as error:
        raise Invalid(f"{called}: {str(error)[:200]}") from None
    except Exception as error:  # noqa: BLE001 - Pillow's readers raise what they come upon
        raise Invalid(f"{called} is no {', '.join(_FORMATS)}: {type(error).__name__}") from None
