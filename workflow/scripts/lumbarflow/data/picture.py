"""Read a picture (.png) as a volume of one slice, if something else says how large its pixels are."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .. import DataError
from .geometry import Geometry
from .headers import Stored, check_size, damaged


def read(path: str | Path) -> Stored:
    """A grey picture as one sagittal slice, head up and face to the left. Its spacing is untold: a PNG holds none.

    Raises DataError, naming the file, for what is no grey picture of 8 or 16 bits.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("PNGImageIO")
    try:
        reader.ReadImageInformation()
        channels = reader.GetNumberOfComponents()
        check_size(path, reader.GetSize(), 2 * channels)
        array = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise damaged(path, f"it is no sound PNG ({str(error).strip().splitlines()[-1]})") from None
    if array.ndim == 3:  # often a grey picture is stored as a coloured one
        colours = array[..., :3]
        if (colours != colours[..., :1]).any():
            raise DataError(f"{path}: expected a grey picture, found colours; convert it")
        array = np.ascontiguousarray(colours[..., 0])
    height, width = array.shape
    # stored axes are column, row, slice: towards the back, the feet and the left
    geometry = Geometry((width, height, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0, 0, 1, 1, 0, 0, 0, -1, 0))
    return Stored(array[None], geometry, {"spacing": "a picture does not say how large its pixels are"})
