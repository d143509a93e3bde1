"""Where results are from: software, config, data, splits, models, and what came out, each by a digest."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .. import files

SHORT = 16  # digits of a digest where people read it


def config_digest(config: Mapping[str, Any]) -> str:
    """Digest of a whole config, with all defaults; the order of keys does not count."""
    return files.sha256(json.dumps(config, sort_keys=True, default=str).encode())


def line(software: str, config: Mapping[str, Any]) -> str:
    """What stands below each table. software: as job.software says it."""
    return f"Made by {software}; config {config_digest(config)[:SHORT]}; provenance.json tells the rest."


def data_digest(manifests: Iterable[str | Path]) -> str:
    """Digest of the data as the networks saw them: of the volumes' slices and class masks, by their own digests."""
    found = set()
    for path in manifests:
        for row in files.read_csv(path):
            found.add(f"{row['volume']} {row['index']} {row['image_sha256']} {row['mask_sha256']}\n")
    return files.sha256("".join(sorted(found)).encode())


def collect(
    software: str,
    versions: Mapping[str, str],
    config: Mapping[str, Any],
    manifests: Iterable[str],
    results: Mapping[str, Iterable[str]],
) -> dict[str, Any]:
    """provenance.json. versions: {package: version}; manifests: paths of all of them; results: {kind: paths}, such as
    splits, models and tables, of which each file's SHA-256 is told."""
    listed = {
        kind: {str(path): files.sha256(Path(path).read_bytes()) for path in paths} for kind, paths in results.items()
    }
    return {
        **{"software": software, "versions": dict(versions)},
        **{"config_sha256": config_digest(config), "data_sha256": data_digest(manifests), "config": config},
        **listed,
    }


def page(found: Mapping[str, Any]) -> str:
    """The same for people, as HTML that needs no other file."""
    facts = [("software", found["software"]), *(("config", found["config_sha256"]), ("data", found["data_sha256"]))]
    facts += [(name, version) for name, version in found["versions"].items()]
    facts += [(path, digest) for kind in ("splits", "models", "tables") for path, digest in found[kind].items()]
    rows = "".join(f"<tr><td>{html.escape(str(a))}</td><td>{html.escape(str(b))}</td></tr>" for a, b in facts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Where it is from</title><style>'
        ":root { color-scheme: light } body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222 }"
        "td { padding: .15em .8em; border-bottom: 1px solid #ddd } td + td { font-family: ui-monospace, monospace }"
        "</style></head><body><h1>Where it is from</h1><p>Digests are SHA-256. Data: of all slices and class masks "
        "that the manifests list, as the networks see them. The same digests of config, data and splits, software and "
        "Keras backend (model.json beside each network tells it) give the same networks, on a CPU to the last digit; "
        "distances depend on the volumes' spacings too, rows of other "
        f"programs on their predictions.</p><table>{rows}</table></body></html>\n"
    )
