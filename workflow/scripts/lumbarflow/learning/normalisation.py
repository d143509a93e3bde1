"""Grey values of slices as network input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..registry import Registry, lazy

if TYPE_CHECKING:
    import cv2
    import numpy as np
    from numpy.typing import NDArray
else:
    cv2, np = lazy("cv2"), lazy("numpy")

NORMALISATIONS = Registry("normalisation")
FLAT = 4.0  # greys: regions that vary less than this, such as air, are not amplified
SMALLEST = 10  # pixels: sigma of a Gaussian on a picture that was made smaller to be cheap


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
    removes the decrease of brightness with the distance from a surface coil. Within 0.01 of the exact values (largest
    difference on real slices: 0.009), see `_blurred`."""
    return np.stack([_local(image) for image in images])


def _local(image: NDArray[np.float32]) -> NDArray[np.float32]:
    sigma = image.shape[0] / 8
    image = image - _blurred(image, sigma)
    return image / np.sqrt(_blurred(image * image, sigma) + FLAT**2)


def _blurred(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A picture [H, W] under a wide Gaussian, taken of means over cells of a SMALLEST-th of sigma, where it is cheap:
    its variance is what the cells' own, (cell^2 - 1) / 12, leaves."""
    height, width = image.shape
    cell = max(int(sigma / SMALLEST), 1)
    rows, columns = -(-height // cell), -(-width // cell)
    means: Any = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA) if cell > 1 else image
    across, down = (np.sqrt(sigma**2 - ((n / m) ** 2 - 1) / 12) * m / n for n, m in ((width, columns), (height, rows)))
    means = cv2.GaussianBlur(means, (0, 0), across, sigmaY=down, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(means, (width, height), interpolation=cv2.INTER_LINEAR) if cell > 1 else means
