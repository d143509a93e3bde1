"""Registries of variants: by name, with options and defaults, and modules of the user's own."""

import subprocess
import sys

import pytest
from conftest import ROOT

from lumbarflow import DataError
from lumbarflow.registry import Registry, option


@pytest.fixture
def registry():
    registry = Registry("loss.name")

    @registry.register("scaled", {"factor": option(2, "how much", type="number", minimum=0)}, divisor=4)
    def scaled(value, factor):
        return value * factor

    return registry


def test_options_have_defaults_and_a_schema(registry):
    assert registry.get("scaled")(3) == 6
    assert registry.get("scaled")(3, factor=5) == 15
    assert registry.get("scaled").more == {"divisor": 4}
    assert registry.options_schema() == {"factor": {"description": "how much", "type": "number", "minimum": 0}}
    with pytest.raises(DataError, match=r"'power' is no option of scaled; it has factor"):
        registry.get("scaled")(3, power=2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scald", r"loss\.name: 'scald' is not known; known: scaled; did you mean 'scaled'"),
        ("hinge", r"'hinge' is not known; known: scaled; or package\.module:function of your own"),
        ("no_such_module:loss", r"loss\.name: no_such_module cannot be imported \(No module named 'no_such_module'"),
        ("json:hinge", r"loss\.name: module json has no function 'hinge'"),
        ("../json:dumps", r"is not known"),
    ],
)
def test_what_is_not_there_is_named(registry, name, message):
    with pytest.raises(DataError, match=message):
        registry.get(name)


def test_a_function_of_ones_own(registry, tmp_path, monkeypatch):
    (tmp_path / "of_my_own.py").write_text("def halved(value, parts=2):\n    return value / parts\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.get("of_my_own:halved")(3) == 1.5
    assert registry.get("of_my_own:halved")(3, parts=3) == 1


def test_a_config_is_read_with_what_snakemake_brings():
    """Where jobs have conda environments, Snakemake's own has no NumPy; and every start would wait for Keras."""
    heavy = ("keras", "tensorflow", "numba", "SimpleITK", "matplotlib", "numpy", "cv2", "pandas", "scipy")
    code = f"import sys\nfrom lumbarflow import plan, source\nprint([m for m in {heavy} if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "workflow/scripts", capture_output=True, encoding="utf-8", check=True
    )
    assert shown.stdout.strip() == "[]"
