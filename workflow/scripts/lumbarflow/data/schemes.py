"""Label schemes: what the numbers in a dataset's masks mean, from a YAML file or from nnU-Net's dataset.json.

Inside the workflow masks have SPIDER's numbers; data.masks reads a mask of any scheme so.
"""

from __future__ import annotations

import difflib
import json
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .. import CLASSES, FOREGROUND, DataError
from ..source import project

# name, unknown, key (of the config), structures, and for each class its labels in order, [[first, last], ...]
Scheme = dict[str, Any]

ORDERS = ("spider", "upwards", "downwards", "none")
RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")
HIGHEST = 65535
FOLDER = project("config", "labels")  # the schemes that come with the workflow
# names in nnU-Net's dataset.json, in small letters, without separators and plural
NAMES = {
    "background": ("background",),
    "vertebrae": ("vertebrae", "vertebra"),
    "spinal_canal": ("spinalcanal", "canal", "spinalcord", "cord"),
    "ivd": ("ivd", "disc", "disk", "intervertebraldisc", "intervertebraldisk"),
}


def load(name: str, unknown: str = "error", key: str = "config.scheme") -> Scheme | None:
    """The scheme of a name, a YAML file of FOLDER, or of a path (.yaml, .yml, or nnU-Net's dataset.json).

    unknown: what becomes of labels that the scheme does not name; key: of the config, for messages. Returns None for
    SPIDER's own with unknown `error`: there is nothing to translate. Raises DataError that names the file and the key.
    """
    if name == "spider" and unknown == "error":
        return None
    path = FOLDER / f"{name}.yaml" if name in names() else Path(name)
    if path.suffix not in (".yaml", ".yml", ".json"):
        near = difflib.get_close_matches(name, names(), 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names())}; or the path of a .yaml file"
        raise DataError(f"{key}: there is no label scheme {name!r}; {hint}")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{key}: {path}: is no label scheme that can be read ({reason})") from None
    if path.suffix == ".json":
        content = _from_nnunet(path, content)
    return {"name": path.stem, "unknown": unknown, "key": key, **_checked(path, content)}


def names() -> list[str]:
    """The schemes that come with the workflow."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _from_nnunet(path: Path, content: Any) -> dict[str, Any]:
    """The scheme that a dataset.json's `labels` {name: number} say."""
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, dict):
        raise DataError(f"{path}: has no `labels` such as {{background: 0, vertebrae: 1, spinal_canal: 2, disc: 3}}")
    found: dict[str, Any] = {"structures": "none"}
    for name, number in labels.items():
        bare = re.sub(r"[\s_-]", "", str(name).lower())
        kind = next((kind for kind, names in NAMES.items() if bare in names or bare.removesuffix("s") in names), None)
        if bare == "ignore":
            raise DataError(
                f"{path}: its label `ignore` ({number}) marks voxels without truth, which losses and metrics here do "
                "not leave out; fill them, or take these volumes away"
            )
        if kind is None:
            raise DataError(
                f"{path}: the label {name!r} is none of vertebrae, spinal_canal and disc; write a scheme of your own "
                "(config/README.md) that says to which class it belongs"
            )
        found.setdefault(kind, []).append(number)
    return found


def _checked(path: Path, content: Any) -> Scheme:
    """A scheme with its labels as ranges. Raises DataError for what cannot be one."""
    if not isinstance(content, dict):
        raise DataError(f"{path}: is no label scheme; expected keys {', '.join(CLASSES)} and structures")
    for key in content:
        if key not in (*CLASSES, "structures"):
            near = difflib.get_close_matches(str(key), [*CLASSES, "structures"], 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(CLASSES)}, structures"
            raise DataError(f"{path}: unknown key {key!r}; {hint}")
    order = str(content.get("structures", "none")).lower()
    if order not in ORDERS:
        raise DataError(f"{path}: structures is {order!r}; expected {', '.join(ORDERS)}")
    scheme: Scheme = {"structures": order}
    first: dict[int, str] = {}
    for kind in CLASSES:
        ranges = [_range(path, kind, each) for each in _listed(content.get(kind, [0] if kind == CLASSES[0] else []))]
        for label in (label for low, high in ranges for label in range(low, high + 1)):
            if first.setdefault(label, kind) != kind:
                raise DataError(f"{path}: the label {label} stands under {first[label]} and under {kind}")
        scheme[kind] = ranges
    if not any(scheme[kind] for kind in FOREGROUND):
        raise DataError(f"{path}: names no label of {', '.join(FOREGROUND)}")
    return scheme


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _range(path: Path, kind: str, value: Any) -> list[int]:
    match = RANGE.fullmatch(str(value).strip())
    low, high = (int(match[1]), int(match[2])) if match else (value, value)
    if isinstance(low, bool) or not isinstance(low, int) or not 0 <= low <= high <= HIGHEST:
        raise DataError(
            f"{path}: {kind} holds {value!r}; expected whole numbers from 0 to {HIGHEST} and ranges such as 11-17"
        )
    return [low, high]


def labels(scheme: Mapping[str, Any], kind: str) -> list[int]:
    """The labels of a class, in the scheme's order."""
    return [label for low, high in scheme[kind] for label in range(low, high + 1)]


def lacking(scheme: Mapping[str, Any]) -> list[str]:
    """The foreground classes that a scheme has no label for."""
    return [kind for kind in FOREGROUND if not scheme[kind]]


def fitting(found: Collection[int]) -> list[str]:
    """Names of the workflow's schemes that know all labels found, and of which each class is found."""
    fit = []
    for name in names():
        scheme = load(name, "background")
        assert scheme is not None  # only with unknown `error`
        known = {kind: set(labels(scheme, kind)) for kind in CLASSES}
        if set(found) <= set().union(*known.values()) and all(known[kind] & set(found) for kind in FOREGROUND):
            fit.append(name)
    return fit


def check_found(
    planes: Iterable[Collection[int]],
    scheme: Mapping[str, Any] | None,
    what: str,
    key: str = "config.scheme",
    sure: bool = False,
) -> None:
    """Raise DataError if a class that the scheme knows is in no mask of a dataset: then the labels mean something else.

    planes: SPIDER's labels in each plane of all masks; what: what these are masks of; key: names the scheme; sure: that
    the labels mean what it says, as those of a network that learnt them: a class that it never found is a warning then.
    """
    spider = load("spider", "background")
    assert spider is not None  # only with unknown `error`
    counts: Counter[str] = Counter()
    found: Counter[int] = Counter()
    for plane in planes:
        found.update(plane)
        counts.update(kind for kind in FOREGROUND if set(plane) & set(labels(spider, kind)))
    missing = [kind for kind in FOREGROUND if (scheme or spider)[kind] and not counts[kind]]
    if missing and sure:
        logging.getLogger(__name__).warning(
            "%s: hold no %s at all, for which they score 0", what, " and no ".join(missing)
        )
    elif missing:
        fit = fitting(found) if scheme is None else []
        hint = (
            f"set {key} to {' or '.join(fit)}, which would fit"
            if fit
            else "write a scheme of your own (config/README.md)"
        )
        raise DataError(
            f"{what}: no mask holds any {' or '.join(missing)} under the label scheme "
            f"{scheme['name'] if scheme else 'spider'}; slices that show a class: "
            f"{', '.join(f'{kind} {counts[kind]}' for kind in FOREGROUND)}; labels found: "
            f"{' '.join(map(str, sorted(found)))}; {hint}"
        )
