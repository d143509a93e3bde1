"""Which volumes a dataset folder holds."""

import re
from pathlib import Path

from . import DataError

# as in volumes.EXTENSIONS, which would import SimpleITK while the workflow is only being parsed
EXTENSIONS = (".mha", ".mhd", ".nii", ".nii.gz")
NAME = re.compile(r"(?P<patient>[A-Za-z0-9]+)_(?P<sequence>t1|t2|t2_SPACE)")
SIDECARS = (".raw", ".zraw")  # the voxels of an .mhd header
LITTER = ("Thumbs.db", "desktop.ini")


def parse_name(name):
    """(patient, sequence) of a volume name such as `12_t2_SPACE`. Raises DataError."""
    match = NAME.fullmatch(name)
    if not match:
        raise DataError(
            f"{name!r} is not a volume name; expected PATIENT_SEQUENCE such as 12_t2_SPACE, with letters "
            "and digits for the patient and t1, t2 or t2_SPACE for the sequence; rename or remove the file"
        )
    return match["patient"], match["sequence"]


def volume_key(name):
    """Sort key that puts 2_t1 before 10_t1."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def find_volumes(root):
    """The volumes of a SPIDER-style folder: {name: (image path, mask path)}, in natural order.

    Expects `root`/images and `root`/masks with equally named files. Raises DataError for a missing
    folder, no data, an odd name, a volume stored twice, or an image without its mask and the reverse.
    """
    root = Path(root)
    found = {}
    for kind in ("images", "masks"):
        folder = root / kind
        if not folder.is_dir():
            raise DataError(
                f"{folder}: no such folder; expected a dataset in SPIDER's layout (images/ and masks/ with equally "
                "named files). `snakemake download --configfile config/spider.yaml` fetches SPIDER (3.8 GB); "
                "`--config root=FOLDER` names your own; `--config root=phantom` needs no data"
            )
        found[kind] = {}
        for path in sorted(folder.iterdir()):
            ending = next((e for e in sorted(EXTENSIONS, key=len, reverse=True) if path.name.endswith(e)), None)
            if path.name.startswith(".") or path.name.endswith(SIDECARS) or path.name in LITTER:
                continue
            if ending is None:
                raise DataError(f"{path}: expected a volume ({', '.join(EXTENSIONS)}); move it out of the dataset")
            name = path.name.removesuffix(ending)
            try:
                parse_name(name)
            except DataError as error:
                raise DataError(f"{path}: {error}") from None
            if name in found[kind]:
                raise DataError(f"{path}: the volume is also stored as {found[kind][name]}; keep one of them")
            found[kind][name] = str(path)
    for kind, other in (("images", "masks"), ("masks", "images")):
        alone = sorted(found[kind].keys() - found[other].keys(), key=volume_key)
        if alone:
            raise DataError(
                f"{found[kind][alone[0]]}: has no counterpart in {root / other} "
                f"({len(alone)} such in all); add it or remove this file"
            )
    if not found["images"]:
        raise DataError(f"{root / 'images'}: holds no volumes; expected files such as 1_t2.mha")
    return {name: (found["images"][name], found["masks"][name]) for name in sorted(found["images"], key=volume_key)}
