"""Results as one file that can be published: an RO-Crate (Soiland-Reyes et al. 2022), which says what each file is.

The crate describes one run by the profile Process Run Crate: this software (instrument) made tables (result) from a
config and split lists (object). Networks themselves and images are not in it; their digests are.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path, PurePath
from typing import Any

from rocrate.model import ContextEntity, SoftwareApplication
from rocrate.rocrate import ROCrate

from .. import files

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
FORMATS = {".csv": "text/csv", ".md": "text/markdown", ".html": "text/html", ".json": "application/json"}
NOT_STATED = "not stated (the config's package.licence is empty)"


def _name(path: str) -> str:
    """Path of a file within the crate: without the folder of all results."""
    parts = PurePath(path).parts
    return "/".join(parts[1:] if parts[0] == "results" else parts)


def _homepage(package: str) -> str:
    """Address of an installed package's own page; empty where it tells none."""
    try:
        told = metadata(package)
    except PackageNotFoundError:
        return ""
    pairs = [line.split(", ", 1) for line in told.get_all("Project-URL", [])]
    pages = [address for label, address in pairs if label.lower() in ("homepage", "home", "repository", "source")]
    return next(iter([*told.get_all("Home-page", []), *pages]), "")


def _software(crate: ROCrate, found: Mapping[str, Any]) -> SoftwareApplication:
    """This software, and what it used, each with its version."""

    def application(name: str, version: str) -> SoftwareApplication:
        about = {"name": name, "softwareVersion": version, "version": version}
        address = _homepage(name)
        return crate.add(SoftwareApplication(crate, f"#{name}", {**about, **({"url": address} if address else {})}))

    name, _, version = found["software"].partition(" ")
    ours = application(name, version)
    ours["softwareRequirements"] = [application(*each) for each in found["versions"].items()]
    return ours


def _add(crate: ROCrate, path: str | Path, name: str, about: str) -> Any:
    """Put a file into the crate, with its digest. about: what kind of file it is."""
    content = Path(path).read_bytes()
    properties = {
        "name": name,
        "description": about,
        "encodingFormat": FORMATS[Path(path).suffix],
        "contentSize": str(len(content)),
        "sha256": files.sha256(content),
    }
    return crate.add_file(path, name, properties=properties)


def _files(crate: ROCrate, paths: Iterable[str], about: str) -> list[Any]:
    """The same of several, by the names that they have in the crate."""
    return [_add(crate, path, _name(path), about) for path in paths]


def write(
    path: str | Path, provenance: str, used: Mapping[str, Iterable[str]], made: Mapping[str, Iterable[str]]
) -> None:
    """Write the crate as a zip file. provenance: path of provenance.json; used, made: {what they are: paths}, such as
    split lists, and tables."""
    found = files.read_json(provenance)
    crate = ROCrate(gen_preview=False, version="1.1")  # which the profile builds on
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(found["config"], indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        objects = [_add(crate, config, config.name, "Config of the run, with all defaults")]
        for kind, paths in used.items():
            objects += _files(crate, paths, kind)
        results = _files(crate, [provenance], "Where the results are from")
        for kind, paths in made.items():
            results += _files(crate, paths, kind)
        _describe(crate, found, objects, results)
        unpacked = Path(folder) / "crate"
        crate.write(unpacked)
        with files.replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
            for each in sorted(unpacked.rglob("*")):
                if each.is_file():
                    packed.write(each, each.relative_to(unpacked).as_posix())


def _describe(crate: ROCrate, found: Mapping[str, Any], objects: list[Any], results: list[Any]) -> None:
    """The crate itself, its licence, and the run that made what is in it."""
    config, time = found["config"], datetime.now(UTC).replace(microsecond=0)
    crate.name = f"Lumbar MRI segmentation: {', '.join(config['run'])}"
    crate.description = (
        f"Tables, split lists, config and digests of a run of {found['software']}, from data with the digest "
        f"{found['data_sha256']}. Neither images nor networks are in it."
    )
    crate.datePublished = time
    licence = {"@type": "CreativeWork", "name": config["package"]["licence"] or NOT_STATED}
    crate.license = crate.add(ContextEntity(crate, "#licence", {**licence, "description": "licence of the results"}))
    crate.root_dataset["conformsTo"] = crate.add(
        ContextEntity(crate, PROFILE, {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"})
    )
    crate.root_dataset["mentions"] = crate.add_action(
        _software(crate, found),
        "#run",
        object=objects,
        result=results,
        properties={
            "name": "Run of the workflow",
            "description": "volumes to slices, masks, splits, trained networks, predictions, metrics and tables",
            "endTime": time.isoformat(),
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
