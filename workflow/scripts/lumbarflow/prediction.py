"""Applying a trained network to slices."""

import numpy as np

from . import CLASSES, DataError
from .batches import predict
from .slices import Placement, to_source

NOTHING = 255  # in a mask of p > 0.5: no class reaches it


def load(path):
    """Read a .keras file in safe mode: code inside is never run. Raises DataError for a damaged or foreign file."""
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: is not a model of this workflow ({reason}); delete it and run again") from None


def probabilities(model, images, normalisation, batch=8):
    """Class probabilities float32 [N, H, W, 4] of uint8 images [N, H, W] on the network grid."""
    return np.concatenate([p for _, p in predict(model, images, normalisation, batch)])


def decide(p):
    """Class masks uint8 [..., H, W] by the highest probability."""
    return p.argmax(-1).astype(np.uint8)


def decide_half(p):
    """The class with p > 0.5, or NOTHING (the release's masks for its surface metrics)."""
    return np.where(p.max(-1) > 0.5, p.argmax(-1), NOTHING).astype(np.uint8)


def soft_sums(p, truth):
    """Sums that the soft Dice of one image needs, for each class: dict of float64 [4]."""
    y = truth[..., None] == np.arange(len(CLASSES))
    return {
        "soft_overlap": (p * y).sum((0, 1), dtype=np.float64),
        "soft_pred": p.sum((0, 1), dtype=np.float64),
        "soft_truth": y.sum((0, 1)).astype(np.float64),
    }


def on_source(p, row, canvas_size):
    """Class mask uint8 on the source plane of a slices.csv row, from probabilities on the network grid."""
    placement = Placement.of(row)
    plane = (int(row["source_height"]), int(row["source_width"]))
    return decide(to_source(p, placement, canvas_size, plane))
