"""The project's own promises: linters, pinned versions, the library table."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from lumbarflow import source

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
        ["snakefmt", "--check", "Snakefile", "workflow/Snakefile", "workflow/rules"],
        ["snakemake", "--lint"],
    ],
    ids=" ".join,
)
def test_linters(command):
    environment = os.environ | {"PYTHONPATH": "workflow/scripts"}
    process = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8"
    )
    assert process.returncode == 0, process.stdout + process.stderr


def rules():
    """{rule: (its block, its script)} of the rules that run one."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    blocks = re.findall(r"^ *rule (\w+):(.*?)(?=^ *(?:use )?rule |\Z)", text, re.S | re.M)
    scripts = {name: (block, re.search(r'script:\s+"\.\./scripts/(\w+)\.py"', block)) for name, block in blocks}
    return {name: (block, found[1]) for name, (block, found) in scripts.items() if found}


def test_each_rule_runs_the_script_of_its_name_and_reruns_with_its_code():
    found = rules()
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert len(found) == len(re.findall(r"^ *script:$", text, re.M)) > 30
    for name, (block, script) in found.items():
        assert script == name
        assert re.search(rf'code=(get_code|source\.digest)\("{name}"', block), name


def test_scripts_are_short_and_hide_no_logic_in_main():
    for path in sorted(source.SCRIPTS.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 46, path.name
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                inner = [each for each in ast.walk(node) if isinstance(each, ast.FunctionDef) and each is not node]
                assert not inner, f"{path.name}: {inner}"


# what a package is called where it is installed from, and what it cannot do without
PACKAGES = {"cv2": "opencv-python-headless", "PIL": "pillow", "SimpleITK": "simpleitk", "yaml": "pyyaml"}
OTHER_BACKENDS = {"jax", "torch"}  # instead of TensorFlow, where a user has installed one


def test_each_conda_file_has_what_its_rules_import():
    for name, (block, script) in rules().items():
        files = re.findall(r"envs/([\w-]+)\.yaml", block)
        assert files, name
        _, foreign = source.closure(source.SCRIPTS / f"{script}.py")
        needed = {PACKAGES.get(each, each) for each in foreign - OTHER_BACKENDS - set(sys.stdlib_module_names)}
        for file in files:
            environment = yaml.safe_load((ROOT / f"envs/{file}.yaml").read_text(encoding="utf-8"))
            lines = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
            missing = needed - {re.split(r"[\[=]", line)[0] for line in lines}
            assert not missing, f"envs/{file}.yaml lacks {missing}, which rule {name} imports"


def locked(name):
    text = (ROOT / "envs" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z-]+\])?==([^ ;\\]+)", text, re.M)), text


def test_the_installed_library_has_the_version_that_is_cited():
    stated = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["version"] == stated


def test_locks_pin_everything_with_hashes_and_no_address():
    for name in ("cpu.lock", "cuda.lock"):
        pins, text = locked(name)
        assert "://" not in text
        assert "tensorflow" in pins
        for block in re.split(r"\n(?=\S)", text.strip()):
            assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("name", ["base", "train-cpu", "train-cuda", "scans"])
def test_conda_files_name_the_locked_versions(name):
    pins, _ = locked("cuda.lock" if name == "train-cuda" else "cpu.lock")
    environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8"))
    wanted = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert wanted
    for line in wanted:
        package, version = line.split("==")
        assert pins[package.split("[")[0]] == version, package


def test_the_public_checks_run_what_the_makefile_offers():
    """Their commands are targets; the Pythons are those that the project says it runs on."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    asked, pythons = set(), set()
    for path in sorted((ROOT / ".github/workflows").glob("*.yml")):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            asked |= {step["run"] for step in job["steps"] if "run" in step}
            pythons |= set(job.get("strategy", {}).get("matrix", {}).get("python", ()))
    assert asked == {"make lint", "make docs", "make test", "make test-system", "make test-long"}
    assert {command.removeprefix("make ") for command in asked} <= targets
    bounds = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    low, high = (int(minor) for minor in re.findall(r"3\.(\d+)", bounds))
    assert pythons == {f"3.{minor}" for minor in range(low, high)}
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    for hook in hooks:
        assert (BIN / hook["entry"].split()[0].removeprefix(".venv/bin/")).is_file(), hook["entry"]


def test_forms_ask_for_the_log():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8"))
    required = {part.get("id") for part in form["body"] if part.get("validations", {}).get("required")}
    assert {"command", "log"} <= required


def test_the_tables_of_the_config_manual_are_those_of_the_schemas():
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import keys
    finally:
        sys.path.remove(str(ROOT / "docs"))
    manual = keys.MANUAL.read_text(encoding="utf-8")
    assert keys.filled(manual) == manual, "run `make docs`, and commit config/README.md"
    left = manual.replace(" package -->", " -->", 1)
    assert left != manual
    with pytest.raises(KeyError, match=r"no table holds config: package\W*$"):
        keys.filled(left)
