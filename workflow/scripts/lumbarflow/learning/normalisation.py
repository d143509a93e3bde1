"""Grey values of slices as network input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import Registry, lazy

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import NDArray
else:
    cv2, np = lazy("cv2"), lazy("numpy")

NORMALISATIONS = Registry("normalisation")
FLAT = 4.0  # greys: regions that vary less than this, such as air, are not amplified


def normalise(images: NDArray[np.number], how: str) -> NDArray[np.float32]:
    """uint8 or float [N, H, W] -> float32 network input [N, H, W], by a registered normalisation. Raises DataError."""
    return NORMALISATIONS.get(how)(np.asarray(images, np.float32))


@NORMALISATIONS.register("column_l2")
def column_l2(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each column divided by its L2 norm along the height, as released."""
    norm = np.sqrt(np.sum(images * images, axis=1, keepdims=True))
    divisor: NDArray[np.float32] = np.where(norm > 0, norm, 1)
    return images / divisor


@NORMALISATIONS.register("zscore")
def zscore(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean 0 and standard deviation 1 over each image."""
    mean = images.mean(axis=(1, 2), keepdims=True)
    return (images - mean) / np.maximum(images.std(axis=(1, 2), keepdims=True), 1e-3)


@NORMALISATIONS.register("local")
def local(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean 0 and standard deviation 1 around each pixel, in a Gaussian window (sigma: an eighth of the height). This
    removes the decrease of brightness with the distance from a surface coil."""
    return np.stack([_local(image) for image in images])


def _local(image: NDArray[np.float32]) -> NDArray[np.float32]:
    sigma = image.shape[0] / 8
    image = image - cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    variance = cv2.GaussianBlur(image * image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return image / np.sqrt(variance + FLAT**2)
