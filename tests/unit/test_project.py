"""The project's own promises: linters, pinned versions, the library table."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

LIBRARY = ROOT / "workflow/scripts/lumbarflow"
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
        ["snakefmt", "--check", "Snakefile", "workflow/rules"],
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


def for_types_only(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(path):
    """Modules of the library that a file imports when it runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not for_types_only(node)]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "lumbarflow"):
            module = (node.module or "").removeprefix("lumbarflow").lstrip(".")
            found |= {module} if module else {alias.name for alias in node.names}
    return {name for name in found if (LIBRARY / f"{name}.py").is_file()}


def closure(names):
    seen = set()
    while names:
        name = names.pop()
        if name not in seen:
            seen.add(name)
            names |= imports(LIBRARY / f"{name}.py")
    return seen


def test_each_rule_has_all_modules_it_runs_as_inputs():
    """Snakemake does not see edits of imported modules unless they are inputs."""
    text = (ROOT / "workflow/rules/common.smk").read_text(encoding="utf-8")
    table = ast.literal_eval(re.search(r"^LIBRARY = (\{.*?^\})", text, re.S | re.M)[1])
    rules = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    blocks = re.findall(r"^ *rule (\w+):(.*?)(?=^ *rule |\Z)", rules, re.S | re.M)
    checked = 0
    for name, block in blocks:
        script = re.search(r'script:\s+"(.*?)"', block)
        if not script:
            continue
        stage = re.search(r'get_library\("(\w+)"\)', block)[1]
        needed = closure(imports(ROOT / "workflow/rules" / script[1])) - {"job"}
        assert set(table[stage]) == needed, name
        checked += 1
    assert checked == 24


def locked(name):
    text = (ROOT / "envs" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z-]+\])?==([^ ;\\]+)", text, re.M)), text


def test_locks_pin_everything_with_hashes_and_no_address():
    for name in ("cpu.lock", "cuda.lock"):
        pins, text = locked(name)
        assert "://" not in text
        assert "tensorflow" in pins
        for block in re.split(r"\n(?=\S)", text.strip()):
            assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("name", ["base", "train-cpu", "train-cuda"])
def test_conda_files_name_the_locked_versions(name):
    pins, _ = locked("cuda.lock" if name == "train-cuda" else "cpu.lock")
    environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8"))
    wanted = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert wanted
    for line in wanted:
        package, version = line.split("==")
        assert pins[package.split("[")[0]] == version, package
