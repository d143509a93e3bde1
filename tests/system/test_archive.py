"""`snakemake archive` against the validator of RO-Crates, offline. Needs `make install ENV=docs`."""

import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import rocrate
from conftest import ROOT

pytestmark = pytest.mark.system

# the validator fetches the vocabulary of RO-Crate by its address: here it comes from the file that rocrate has of it
OFFLINE = """
import json, sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from rocrate_validator import services
from rocrate_validator.utils.http import HttpRequester

vocabulary = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))

def get(self, address, **options):
    assert address.startswith("https://w3id.org/ro/crate/"), address
    headers = {"Content-Type": "application/ld+json"}
    return SimpleNamespace(status_code=200, headers=headers, json=lambda: vocabulary, text=json.dumps(vocabulary))

HttpRequester.get = get
counts = []
for profile in ("ro-crate-1.1", "process-run-crate"):
    settings = services.ValidationSettings(rocrate_uri=sys.argv[2], profile_identifier=profile)
    result = services.validate(settings)
    for issue in result.get_issues():
        print(profile, issue.severity, issue.check.identifier, issue.message)
    counts.append(f"{profile} {len(result.executed_checks)}")
print("\\n".join(counts))
"""


def validated(folder):
    """What the validator says against a crate, by both profiles; fails where it could not check."""
    python = ROOT / ".venv-docs/bin/python"
    if not python.exists():
        if os.environ.get("LUMBARFLOW_STRICT"):
            pytest.fail("the validator is not installed: `make install ENV=docs` should have done that")
        pytest.skip("the validator is not installed; `make install ENV=docs` does that")
    vocabulary = Path(rocrate.__file__).parent / "data/ro-crate.jsonld"
    command = [python, "-c", OFFLINE, vocabulary, folder]
    process = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert process.returncode == 0, process.stderr
    *issues, first, second = process.stdout.splitlines()
    checks = dict(line.split() for line in (first, second))
    assert int(checks["process-run-crate"]) > int(checks["ro-crate-1.1"]) > 40, checks
    return issues


def test_an_archive_is_a_crate_that_its_validator_accepts(tiny_run, tiny_config, tmp_path):
    run = tiny_run.copy(tmp_path / "run")
    run("archive", "--configfile", tiny_config)
    folder = tmp_path / "crate"
    with zipfile.ZipFile(run.results / "archive.zip") as packed:
        packed.extractall(folder)
    assert not validated(folder)
    graph = json.loads((folder / "ro-crate-metadata.json").read_text(encoding="utf-8"))["@graph"]
    entities = {each["@id"]: each for each in graph}
    told = json.loads((run.results / "provenance.json").read_text(encoding="utf-8"))
    assert json.loads((folder / "config.json").read_text(encoding="utf-8")) == told["config"]
    for path, digest in {**told["splits"], **told["tables"]}.items():
        name = path.removeprefix("results/")
        assert entities[name]["sha256"] == digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    named = {name for each in told["models"] for name in [each.removeprefix("results/").replace(".keras", ".json")]}
    assert named <= set(entities)
    assert {entities[f"#{name}"]["softwareVersion"] for name in told["versions"]} == set(told["versions"].values())
    assert not [path for path in folder.rglob("*") if path.suffix in (".png", ".keras", ".mha")]
    described = folder / "ro-crate-metadata.json"
    text = described.read_text(encoding="utf-8")
    described.write_text(text.replace('"instrument"', '"by"'), encoding="utf-8")
    assert any("instrument" in issue for issue in validated(folder))
