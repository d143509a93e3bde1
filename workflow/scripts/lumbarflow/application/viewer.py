"""A page in which a person scrolls through a segmented scan, in any browser, without a network or other files."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from ..data.labels import called, class_of
from ..images import slices
from ..report.figures import COLOURS

TEMPLATE = Path(__file__).with_name("viewer.html")


def page(
    image: NDArray[np.generic],
    labels: NDArray[np.uint8],
    spacing: Sequence[float],
    title: str,
    names: Mapping[int, str],
    flags: Sequence[str] = (),
) -> str:
    """The page. image, labels: [slices, H, W] in canonical orientation; spacing: mm of its axes; names: {label: what to
    call it}; flags: sentences that stand beside the picture."""
    low, high = slices.windows(image, "volume", (0.5, 99.5))[0]
    shown = [[_png(slices.to_grey(plane, low, high)), _png(mask)] for plane, mask in zip(image, labels, strict=True)]
    numbers = np.unique(labels[labels > 0]).tolist()
    data = {
        **{"shape": image.shape, "spacing": list(map(float, spacing)), "slices": shown},
        "colours": {number: _colour(number) for number in numbers},
        "names": {number: names.get(number) or called(number) for number in numbers},
    }
    parts = {"title": html.escape(title), "flags": "<br>".join(map(html.escape, flags))}
    # within a script, `</` could end it
    parts["data"] = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _png(plane: NDArray[np.uint8]) -> str:
    return base64.b64encode(cv2.imencode(".png", plane)[1].tobytes()).decode()


def _colour(number: int) -> list[int]:
    """Of its class; every second level darker, so that neighbours are told apart."""
    kind = class_of(number)
    shade = 1.0 if kind == "spinal_canal" or number % 2 else 0.65
    return [round(255 * shade * part) for part in to_rgb(COLOURS[kind])]
