"""Make a model of the networks of an experiment, and read one from its package."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jsonschema import Draft202012Validator, ValidationError
from numpy.typing import NDArray

from .. import CLASSES, DataError
from ..data import phantom
from ..files import sha256
from ..images import png, slices
from ..registry import module_of
from . import package
from .networks import NETWORKS
from .normalisation import NORMALISATIONS
from .scans import Model, grey, segment

if TYPE_CHECKING:
    import keras

TEST = {"image": "test/image.png", "mask": "test/mask.png"}
ALIKE = 0.999  # lowest Dice of a class on the test picture: other processors round otherwise

SIZE = {"type": "array", "items": {"type": "integer", "minimum": 8, "maximum": 4096}, "minItems": 2, "maxItems": 2}
RANGE = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
ENDS = {"slice": RANGE, "row": RANGE, "column": RANGE}


def _object(optional: Mapping[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**properties, **(optional or {})}, "required": list(properties)}


# what model.json must hold for scans to be segmented
SCHEMA = _object(
    name={"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
    software={"type": "string"},
    sequences={"type": "array", "items": {"type": "string"}, "minItems": 1},
    networks={
        "type": "array",
        "items": _object(
            member={"type": "string"},
            shapes={"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0}}},
        ),
        "minItems": 1,
    },
    settings=_object(
        normalisation={"type": "string"},
        network=_object(
            {"neighbours": {"type": "integer", "minimum": 0, "maximum": 2}},
            name={"type": "string"},
            image_size=SIZE,
            resize={"enum": ["nearest", "linear", "area"]},
            options={"type": "object"},
        ),
    ),
    recipe=_object(
        size=SIZE,
        fit={"enum": ["stretch", "letterbox"]},
        window={"enum": ["slice", "volume"]},
        percentiles=RANGE,
        resize={"enum": ["nearest", "linear", "area"]},
    ),
    views={"type": "integer", "minimum": 1, "maximum": 4},
    smallest={"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
    optional={  # earlier packages: none
        "offsets": {"type": "object", "additionalProperties": {"type": "number"}},
        "slice_smoothing_mm": {"type": "number", "minimum": 0},
    },
    scores=_object(entropy={"type": "number", "minimum": 0}),
    trained_on=_object(spacing_mm=_object(**ENDS), extent_mm=_object(**ENDS), grey=_object(mean=RANGE, spread=RANGE)),
    test=_object(spacing_mm={"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}),
)


@dataclass(frozen=True)
class Trained:
    """One training. name: such as fold-0-seed-1; weights: as keras.Model.get_weights gives them."""

    name: str
    weights: Sequence[NDArray[np.floating]]
    settings: Mapping[str, Any]


def load(path: str | Path, modules: Collection[str] = ()) -> Model:
    """Read a package and build its networks; no code of it is run. modules: of the user's own, which it may name.

    Raises DataError, naming the file and what does not fit.
    """
    about, members = package.read(path)
    _check(about, path, modules)
    return Model(about, _networks(about, members, path), sha256(Path(path).read_bytes()))


def _check(about: Mapping[str, Any], path: str | Path, modules: Collection[str]) -> None:
    """Raise DataError unless model.json holds what scans need, and names no code but ours and that of `modules`."""
    error = next(
        iter(sorted(Draft202012Validator(SCHEMA).iter_errors(about), key=lambda e: list(map(str, e.path)))), None
    )
    if error is None:
        settings = about["settings"]
        for registry, name in ((NETWORKS, settings["network"]["name"]), (NORMALISATIONS, settings["normalisation"])):
            registry.check(name, f"{path}: {registry.key}")
            module = module_of(name)
            if module and module not in modules:
                raise DataError(
                    f"{path}: its {registry.key} is {name}, code that a package does not hold; install it, and, if you "
                    f"trust it, name it: `modules=[{module}]` (lumbarflow: --module {module})"
                )
        error = _wrong_option(settings["network"])
    if error is not None:
        key = ".".join(["model.json", *map(str, error.absolute_path)])
        raise DataError(f"{path}: {key}: {error.message}; use the version that packaged it ({about.get('software')})")


def _wrong_option(network: Mapping[str, Any]) -> ValidationError | None:
    """What is wrong with the options of a network of ours."""
    if network["name"] not in NETWORKS.variants:
        return None
    known = {name: dict(each.schema) for name, each in NETWORKS.variants[network["name"]].options.items()}
    schema = {"properties": known, "additionalProperties": False}
    return next(Draft202012Validator(schema).iter_errors(network["options"]), None)


def _networks(about: Mapping[str, Any], members: Mapping[str, bytes], path: str | Path) -> list[keras.Model]:
    from .networks import of_settings

    networks = []
    for each in about["networks"]:
        where = f"{path}: {each['member']}"
        if each["member"] not in members:
            raise DataError(f"{where}: is told of in model.json, but not there; package the model again")
        weights = package.unpack(members[each["member"]], each["shapes"], where)
        network = of_settings(about["settings"]["network"])
        shapes = [tuple(variable.shape) for variable in network.weights]
        if shapes != [array.shape for array in weights]:
            raise DataError(
                f"{where}: its {len(weights)} arrays do not fit the network {about['settings']['network']}, which has "
                f"{len(shapes)}; package the model again"
            )
        network.set_weights(weights)
        networks.append(network)
    return networks


def make(
    about: Mapping[str, Any], trained: Sequence[Trained], decisions: Sequence[Mapping[str, Any]], dtype: str
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What package.write takes. about: model.json without networks, settings, offsets, smallest and test; decisions:
    decision.json of each fold, of which the medians are taken; dtype: of the stored weights, float32 or float16.
    """
    settings = {key: trained[0].settings[key] for key in ("normalisation", "network")}
    members, networks = {}, []
    for each in trained:
        member = f"networks/{each.name}.npy"
        members[member], shapes = package.pack(each.weights, dtype)
        networks.append({"member": member, "shapes": shapes})
    whole = {**about, "classes": list(CLASSES), "networks": networks, "settings": settings}
    for key, chosen in (("offsets", "offsets"), ("smallest", "min_component_mm3")):
        values = [each[chosen] for each in decisions]
        names = dict.fromkeys(name for each in values for name in each)
        whole[key] = {name: float(np.median([each.get(name, 0) for each in values])) for name in names}
    picture, spacing = test_picture(about["sequences"])
    whole["test"] = {"spacing_mm": spacing}
    whole["needs"] = needed(whole)
    _check(whole, about["name"], whole["needs"])
    mask = segment(picture[None], spacing, [Model(whole, _networks(whole, members, about["name"]))]).classes[0]
    for name, array in (("image", picture), ("mask", mask)):
        members[TEST[name]] = cv2.imencode(".png", array)[1].tobytes()
    return whole, members


def test_picture(sequences: Sequence[str]) -> tuple[NDArray[np.uint8], list[float]]:
    """A middle slice uint8 [H, W] of the phantom, and the spacing (mm) of the volume that it is from; T2 for sequences
    that the phantom has not."""
    sequence = next((name for name in sequences if name in phantom.GRIDS), "t2")
    volume, _, _ = phantom.make_volume(1, phantom.NEW - 1, sequence)
    middle = volume[len(volume) // 2]
    return slices.to_grey(middle, *slices.windows(middle[None], "volume", (0, 100))[0]), list(
        map(float, phantom.GRIDS[sequence][1])
    )


def needed(about: Mapping[str, Any]) -> list[str]:
    """Modules of the user's own whose code a model needs. about: what its model.json holds."""
    names = (about["settings"]["network"]["name"], about["settings"]["normalisation"])
    return list(dict.fromkeys(module for module in map(module_of, names) if module))


def check(path: str | Path, modules: Collection[str] = ()) -> dict[str, Any]:
    """Segment the test case of a package; returns the model's name, the lowest Dice of a class with what was expected,
    and whether that is enough. Raises DataError as load does."""
    model = load(path, modules)
    _, members = package.read(path)
    picture, expected = (_decoded(members, TEST[name], path) for name in ("image", "mask"))
    found = segment(picture[None], model.about["test"]["spacing_mm"], [model]).classes[0]
    if found.shape != expected.shape:
        raise DataError(f"{path}: {TEST['mask']} is {expected.shape}, its picture {found.shape}; package it again")
    shown = np.union1d(found, expected)
    sizes = [
        (np.count_nonzero((found == k) & (expected == k)), (found == k).sum() + (expected == k).sum()) for k in shown
    ]
    dice = min(float(2 * both / total) for both, total in sizes)
    return {"name": model.about["name"], "dice": dice, "passed": dice >= ALIKE}


def _decoded(members: Mapping[str, bytes], name: str, path: str | Path) -> NDArray[np.uint8]:
    if name not in members:
        raise DataError(f"{path}: has no {name}; package it again")
    return png.decode(members[name], f"{path}: {name}")


def verdict(found: Mapping[str, Any]) -> str:
    """One line on what `check` returns."""
    word = "passed" if found["passed"] else "failed"
    return f"{found['name']}: {word}, Dice {found['dice']:.4f} with its maker's mask of the test picture; least {ALIKE}"


def seen(splits: Iterable[Sequence[Mapping[str, str]]], everyone: bool = False) -> list[str]:
    """Volumes that a training of any of these splits saw; everyone: of a training on all patients."""
    rows = [row for each in splits for row in each if row["kept"] == "true"]
    return list(dict.fromkeys(row["volume"] for row in rows if everyone or row["subset"] == "train"))


def grey_of(table: Sequence[Mapping[str, Any]], folder: Path) -> tuple[float, float]:
    """scans.grey of the slices of one volume. table: its rows of the slice table, beside which its slices lie."""
    canvases = [png.read(png.slice_path(folder, row), row["sha256"]) for row in table]
    return grey(canvases, slices.Placement.of(table[0]))


def ranges(
    described: Sequence[Mapping[str, str]], greys: Sequence[tuple[float, float]]
) -> dict[str, dict[str, list[float]]]:
    """What the volumes of a training lie between: {spacing_mm, extent_mm: {slice, row, column}, grey: {mean, spread}},
    each [least, most].

    described: their rows of survey.DESCRIPTION; greys: `grey` of each.
    """
    axes = {"slice": "slices", "row": "height", "column": "width"}
    found: dict[str, dict[str, list[float]]] = {"spacing_mm": {}, "extent_mm": {}, "grey": {}}
    for axis, count in axes.items():
        mm = np.array([float(row[f"{axis}_mm"]) for row in described])
        extents = mm * [int(row[count]) for row in described]
        for kind, values in (("spacing_mm", mm), ("extent_mm", extents)):
            found[kind][axis] = [round(float(values.min()), 4), round(float(values.max()), 4)]
    for name, values in zip(("mean", "spread"), np.transpose(greys), strict=True):
        found["grey"][name] = [round(float(values.min()), 2), round(float(values.max()), 2)]
    return found
