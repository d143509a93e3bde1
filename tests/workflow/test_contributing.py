"""CONTRIBUTING.md, carried out word for word in a copy of the project."""

import csv
import re
import shutil

import yaml
from conftest import ROOT, Workflow

from lumbarflow import settings


def blocks(kind):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.S | re.M)


def carry_out(project, block):
    """Do what the first line of a block says: `# FILE, new`, `at the end`, `before: LINE` or `after: LINE`."""
    head, _, code = block.partition("\n")
    name, _, where = head.removeprefix("# ").partition(", ")
    path = project / name
    if where == "new":
        path.write_text(code, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    if where == "at the end":
        path.write_text(f"{text.rstrip()}\n\n{code}", encoding="utf-8")
        return
    place, _, line = where.partition(": ")
    assert text.count(f"\n{line}") == 1, (name, line)
    start = text.index(f"\n{line}") + 1
    cut = start if place == "before" else text.index("\n", start) + 1
    path.write_text(text[:cut] + code + text[cut:], encoding="utf-8")


def test_the_steps_of_the_page(tiny_run, tmp_path, tiny_config):
    project = tmp_path / "lumbarflow"
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(".*", "results", "tests", "__pycache__"))
    for block in blocks("python"):
        carry_out(project, block)
    config = {}
    for block in blocks("yaml"):
        config = settings.merge(config, yaml.safe_load(block))
    workflow = Workflow(tiny_run.copy(tmp_path / "work").folder, source=project)  # its slices serve here too
    path = workflow.folder / "own.yaml"
    path.write_text(yaml.safe_dump({**config, "sequences": ["t1"], "baseline": "plain"}), encoding="utf-8")
    workflow("results/counts/sound/1_t1.csv", "results/tables/variants.csv", "--configfile", tiny_config, path)
    with open(workflow.results / "counts/sound/1_t1.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [{"volume": "1_t1", "slices": "12"}]
    with open(workflow.results / "tables/variants.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["experiment"] for row in rows} == {"plain", "otsu"}
    assert any(float(row["hd"]) >= float(row["hd95"]) for row in rows if row["hd"])
