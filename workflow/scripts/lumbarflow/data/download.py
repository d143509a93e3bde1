"""Fetch a published dataset and unpack it safely."""

import logging
import re
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

import pooch
import requests

from .. import DataError
from ..files import replacing
from .headers import LIMIT

VOLUME = re.compile(r"[A-Za-z0-9]+_(t1|t2|t2_SPACE)\.mha")


def fetch(address: str, name: str, md5: str, root: str | Path) -> None:
    """Put file `name` from the web folder `address` into `root`; unpack it there if it is a zip of volumes.

    A complete file is not fetched again; an interrupted download starts again from the beginning.
    Raises DataError if the server does not answer or the file does not have this md5.
    """
    root = Path(root)
    done, target = root / ".complete" / f"{name}.{md5}", root / name
    target = target.with_suffix("") if name.endswith(".zip") else target
    if done.is_file() and target.exists():
        logging.info("%s is complete", name)
        return
    url = f"{address.rstrip('/')}/{name}"
    try:
        path = pooch.retrieve(url, f"md5:{md5}", fname=name, path=root / ".download", progressbar=True)
    except requests.RequestException as error:
        raise DataError(f"{url}: cannot be fetched ({error}); check the network and run the command again") from None
    except ValueError as error:
        raise DataError(f"{url}: {str(error).splitlines()[0]}; run the command again") from None
    if name.endswith(".zip"):
        unpack(path, target)
        Path(path).unlink()
    else:
        Path(path).replace(target)
    done.parent.mkdir(parents=True, exist_ok=True)
    done.touch()


def unpack(archive: str | Path, folder: str | Path) -> None:
    """Unpack the volumes of a zip file directly into `folder`, without the folders inside the zip file.

    Raises DataError for a damaged zip file and, before anything is written, for links, absolute paths,
    `..`, files that are not volumes, and volumes of more than LIMIT bytes.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [member for member in zipped.infolist() if _wanted(archive, member)]
            for member in members:
                with (
                    zipped.open(member) as source,
                    replacing(Path(folder) / _name(member)) as path,
                    open(path, "wb") as target,
                ):
                    shutil.copyfileobj(source, target, 1 << 20)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive}: is not a sound zip file ({error}); delete it and fetch it again") from None
    logging.info("%s: %d volumes", archive, len(members))


def _name(member: zipfile.ZipInfo) -> str:
    return PurePosixPath(member.filename).name


def _wanted(archive: str | Path, member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(f"{archive}: holds the unsafe entry {member.filename!r}; do not use this archive")
    if member.file_size > LIMIT:
        raise DataError(
            f"{archive}: {member.filename!r} would unpack to {member.file_size} bytes; expected volumes of at most "
            f"{LIMIT >> 20} MiB; do not use this archive"
        )
    if member.is_dir() or path.name.startswith(".") or "__MACOSX" in path.parts:
        return False
    if not VOLUME.fullmatch(path.name):
        raise DataError(f"{archive}: holds {member.filename!r}, which is no volume such as 1_t2.mha; check the address")
    return True
