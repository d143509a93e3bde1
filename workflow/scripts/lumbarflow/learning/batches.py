"""Slices as network input: loading, normalising, augmenting, batching."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from .. import DataError
from ..images import png
from ..images.slices import resize, resize_classes


def pad_to_16(size):
    """Smallest [H, W] that holds `size` and divides by 16."""
    return tuple(-(-length // 16) * 16 for length in size)


def pad(array, value=0):
    """Pad [..., H, W] at the bottom and right to multiples of 16."""
    height, width = array.shape[-2:]
    full_height, full_width = pad_to_16((height, width))
    widths = [(0, 0)] * (array.ndim - 2) + [(0, full_height - height), (0, full_width - width)]
    return np.pad(array, widths, constant_values=value)


def load_images(rows, folder, size, how):
    """Slices of split rows as uint8 [N, H, W] on the network grid; how: slices.resize's `linear` or `area`.

    Raises DataError for files that changed since the manifest was written.
    """
    images = np.empty((len(rows), *size), np.uint8)
    for image, row in zip(images, rows, strict=True):
        image[:] = resize(png.read(slice_path(folder, row), row["image_sha256"]), size, how)
    return images


def load_masks(rows, folder, size, how):
    """Class masks of split rows as uint8 [N, H, W] on the network grid: by nearest neighbour, or by
    majority where how is `area`."""
    masks = np.empty((len(rows), *size), np.uint8)
    for mask, row in zip(masks, rows, strict=True):
        mask[:] = resize_classes(png.read(slice_path(folder, row), row["mask_sha256"]), size, how)
    return masks


def slice_path(folder, row):
    return Path(folder) / row["volume"] / f"{int(row['index']):03d}.png"


def normalise(images, how):
    """uint8 or float [N, H, W] -> float32 network input.

    `column_l2`: each column divided by its L2 norm along the height, as released; `zscore`: mean 0
    and standard deviation 1 over each image; `local`: the same about each pixel, under a Gaussian of an
    eighth of the height, which takes away the fall of brightness with the distance from a surface coil.
    """
    images = np.asarray(images, np.float32)
    if how == "column_l2":
        norm = np.sqrt(np.sum(images * images, axis=1, keepdims=True))
        return images / np.where(norm > 0, norm, 1)
    if how == "zscore":
        mean = images.mean(axis=(1, 2), keepdims=True)
        return (images - mean) / np.maximum(images.std(axis=(1, 2), keepdims=True), 1e-3)
    if how == "local":
        return np.stack([_normalise_locally(image) for image in images])
    raise DataError(f"normalisation must be column_l2, zscore or local, not {how!r}")


FLAT = 4.0  # greys: what varies less than this is left flat, air for one


def _normalise_locally(image):
    sigma = image.shape[0] / 8
    image = image - cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    variance = cv2.GaussianBlur(image * image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return image / np.sqrt(variance + FLAT**2)


def augment(image, mask, rng, rotation, scale, shift, elastic, gamma, shading, noise, flip):
    """Randomly move one uint8 slice and its class mask together, and change the greys.

    rotation: degrees; scale, shift, gamma: relative; elastic: share of the height by which the knots of
    a coarse grid move, the pixels between them smoothly; shading: logarithm of the factors at the knots of a
    coarser grid, smooth between them, as coils shade a picture; noise: share of the grey range. Each is the
    half-width of a uniform draw (of noise: the largest standard deviation). flip: how often front and
    back are exchanged. Returns (float32, uint8).
    """
    height, width = image.shape
    centre = ((width - 1) / 2, (height - 1) / 2)
    angle, zoom = rng.uniform(-rotation, rotation), np.exp(rng.uniform(-scale, scale))
    matrix = cv2.getRotationMatrix2D(centre, angle, zoom)
    matrix[:, 2] += rng.uniform(-shift, shift, 2) * (width, height)
    image = image.astype(np.float32)
    if elastic:
        knots = rng.uniform(-elastic, elastic, (6, 5, 2)).astype(np.float32) * height
        y, x = np.mgrid[:height, :width].astype(np.float32)
        back = cv2.invertAffineTransform(matrix).astype(np.float32)
        sources = np.stack([x, y, np.ones_like(x)], -1) @ back.T
        sources += cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
        image = cv2.remap(image, sources, None, cv2.INTER_LINEAR)
        mask = cv2.remap(mask, sources, None, cv2.INTER_NEAREST)
    else:
        image = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
        mask = cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_NEAREST)
    if flip and rng.random() < flip:
        image, mask = image[:, ::-1], mask[:, ::-1]
    image = 255 * (image / 255) ** np.exp(rng.uniform(-gamma, gamma))
    if shading:
        knots = rng.uniform(-shading, shading, (4, 3)).astype(np.float32)
        image *= np.exp(cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC))
    image += rng.standard_normal(image.shape, np.float32) * rng.uniform(0, noise) * 255
    return image, mask


def make_batch(images, masks, chosen, rng, normalisation, augmentation):
    """One batch: (float32 [n, H', W', 1], uint8 [n, H', W']), padded to multiples of 16."""
    images, masks = images[chosen], masks[chosen]
    if any(augmentation.values()):
        pairs = [augment(i, m, rng, **augmentation) for i, m in zip(images, masks, strict=True)]
        images, masks = (np.stack(part) for part in zip(*pairs, strict=True))
    return pad(normalise(images, normalisation))[..., None], pad(masks)


def iterate(images, masks, size, seed, epoch, normalisation, augmentation):
    """Batches of one epoch in random order, each made while the one before is being used.

    Order and augmentation depend on (seed, epoch, batch) alone. All batches have one size, so that
    the network is compiled once; the images left over wait for another epoch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(images))
    size = min(size, len(order))
    starts = range(0, len(order) - size + 1, size)

    def prepare(number):
        chosen = order[starts[number] : starts[number] + size]
        rng = np.random.default_rng([seed, epoch, number])
        return make_batch(images, masks, chosen, rng, normalisation, augmentation)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(prepare, 0)
        for number in range(len(starts)):
            batch = ahead.result()
            if number + 1 < len(starts):
                ahead = pool.submit(prepare, number + 1)
            yield batch


def predict(model, images, normalisation, size):
    """Class probabilities of uint8 images [N, H, W], batch by batch: yields (slice of N, float32 [n, H, W, C]).

    Every call of the model sees one shape: the last batch is filled up and cut again.
    """
    height, width = images.shape[1:]
    for start in range(0, len(images), size):
        chunk = images[start : start + size]
        batch = np.zeros((size, height, width), images.dtype)
        batch[: len(chunk)] = chunk
        p = np.asarray(model.predict_on_batch(pad(normalise(batch, normalisation))[..., None]), np.float32)
        yield slice(start, start + len(chunk)), p[: len(chunk), :height, :width]
