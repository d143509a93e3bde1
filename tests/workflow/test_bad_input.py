"""Wrong files and wrong settings: one clear line, exit code not 0, nothing half-written."""

import functools
import hashlib
import http.server
import shutil
import threading
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from conftest import Workflow

from lumbarflow.data import phantom

QUIET = ("Traceback", "InputFunctionException")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three small volumes in SPIDER's layout."""
    root = tmp_path_factory.mktemp("dataset")
    for number in (1, 2, 3):
        phantom.write_volume(root, 5, number, "t1")
    return root


@pytest.fixture
def root(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "data")


def fails(workflow, *arguments):
    process = workflow(*arguments, check=False)
    assert process.returncode != 0, process.stdout[-3000:]
    for word in QUIET:
        assert word not in process.stdout, process.stdout[-3000:]
    return process.stdout


def line_with(output, text):
    return next((line for line in output.splitlines() if text in line), f"no line with {text!r} in\n{output[-3000:]}")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("sequences=[t1,t 4]", ["config.sequences.1", "a name of letters"]),
        ("sequences=[t1,t4]", ["config.sequences:", "the phantom has no sequence 't4'; it has t1, t2, t2_SPACE"]),
        ("rot=data", ["unknown key 'rot'", "did you mean 'root'?"]),
        ("run=[sond]", ["'sond' is not defined", "did you mean 'sound'?"]),
        ("root=nowhere", ["nowhere/images: no such folder", "snakemake download"]),
        ("root=", ["config.root: no dataset folder given", "--config root=FOLDER"]),
    ],
)
def test_before_anything_runs(workflow, setting, words):
    output = fails(workflow, "--config", setting)
    for word in words:
        assert word in line_with(output, words[0])
    assert not workflow.results.exists() or not workflow.files()


def test_a_config_file_runs_no_code(workflow):
    trap, path = workflow.folder / "sprung", workflow.folder / "config.yaml"
    path.write_text(f"root: !!python/object/apply:os.mkdir ['{trap}']\n")
    fails(workflow, "--configfile", path, "--dry-run")
    assert not trap.exists()


def damage(root, how, name="2_t1"):
    image, mask = root / f"images/{name}.mha", root / f"masks/{name}.mha"
    if how == "truncated":
        image.write_bytes(image.read_bytes()[:4000])
    elif how == "empty":
        image.write_bytes(b"")
    elif how in ("constant", "nan", "flat", "4-D"):
        volume = sitk.ReadImage(image)
        array = sitk.GetArrayFromImage(volume).astype(np.float32)
        if how == "constant":
            array[:] = 5
        elif how == "nan":
            array[3, 4, 5] = np.nan
        else:
            array = array[0] if how == "flat" else np.stack([array, array])
        changed = sitk.GetImageFromArray(array, isVector=False)
        if how in ("constant", "nan"):
            changed.CopyInformation(volume)
        sitk.WriteImage(changed, image)
    elif how == "picture":
        sitk.WriteImage(sitk.ReadImage(image), mask)
    else:
        volume = sitk.ReadImage(mask)
        array = sitk.GetArrayFromImage(volume)
        if how == "label":
            array[3, 4, 5] = 77
        changed = sitk.GetImageFromArray(array)
        changed.CopyInformation(volume)
        if how == "grid":
            changed.SetSpacing([s * 1.1 for s in volume.GetSpacing()])
        sitk.WriteImage(changed, mask)


# how a volume is spoilt: what the run says of it
FAULTS = {
    "truncated": ["images/{}.mha: cannot be read as a volume"],
    "empty": ["images/{}.mha: cannot be read as a volume"],
    "constant": ["images/{}.mha: every voxel is 5.0: there is no picture in the volume"],
    "nan": ["images/{}.mha: holds 1 voxels that are NaN or infinite"],
    "flat": ["images/{}.mha: expected a 3-D volume with one value a voxel, found 2-D"],
    "4-D": ["images/{}.mha: expected a 3-D volume with one value a voxel, found 4-D"],
    "picture": ["masks/{}.mha: unknown labels", "SPIDER's are 0-25"],
    "label": ["masks/{}.mha: unknown labels 77 (1 voxels)", "SPIDER's are 0-25"],
    "grid": ["masks/{}.mha: lies elsewhere than the image, by up to", "mm at a corner: found", "expected"],
}


def check_fault(workflow, output, how, name):
    words = [text.format(name) for text in FAULTS[how]]
    for word in words:
        assert word in line_with(output, words[0])
    stage = "slices" if "images" in words[0] else "labels"
    left = [made for made in workflow.files() if made.startswith(stage) and name in made]
    assert left == []
    assert not [path for path in workflow.results.rglob(".*") if path.name != ".snakemake_timestamp"]


def test_a_bad_volume_stops_the_run_and_leaves_nothing_of_itself(workflow, dataset, root, tiny_config):
    damage(root, "label")
    arguments = ("--configfile", tiny_config, "--config", f"root={root}", "--until", "manifest")
    check_fault(workflow, fails(workflow, *arguments), "label", "2_t1")
    # the other volumes are sound: once this one is mended, the same command goes through
    shutil.copy(dataset / "masks/2_t1.mha", root / "masks")
    workflow(*arguments)


@pytest.fixture(scope="module")
def spoilt(dataset, tmp_path_factory):
    """A run on two sound volumes and one of each fault, to its end: the workflow, its output, its command."""
    workflow = Workflow(tmp_path_factory.mktemp("spoilt"))
    root = shutil.copytree(dataset, workflow.folder / "data")
    for kind in ("images", "masks"):
        for name in NAMES.values():
            shutil.copy(root / kind / "2_t1.mha", root / kind / f"{name}.mha")
    for how, name in NAMES.items():
        damage(root, how, name)
    arguments = ("--config", f"root={root}", "sequences=[t1]", "run=[sound]", "--until", "manifest")
    return workflow, fails(workflow, *arguments, "--keep-going"), arguments


NAMES = {how: f"{number}_t1" for number, how in enumerate(FAULTS, 11)}


@pytest.mark.parametrize("how", FAULTS)
def test_each_fault_of_a_volume_is_named(spoilt, how):
    workflow, output, _ = spoilt
    check_fault(workflow, output, how, NAMES[how])


def test_the_sound_volumes_go_on_without_the_bad_ones(spoilt):
    workflow, _, arguments = spoilt
    for path in workflow.folder.glob("data/*/1[1-9]_t1.mha"):
        path.unlink()
    workflow(*arguments)
    assert "manifests/sound/lut/labelled/t1.csv" in workflow.files()


def test_a_gpu_that_is_not_there(workflow, tiny_config, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    arguments = ("--config", "device=gpu", "run=[sound]", "sequences=[t1]", "--until", "train")
    output = fails(workflow, "--configfile", tiny_config, *arguments)
    assert "set device to auto or cpu" in line_with(output, "config.device is gpu, but tensorflow sees no GPU")


def test_download_then_run(workflow, dataset, tmp_path):
    """`snakemake download` from a server on loopback, then the main job's plan on what it fetched."""
    served = tmp_path / "served"
    served.mkdir()
    for kind in ("images", "masks"):
        with zipfile.ZipFile(served / f"{kind}.zip", "w") as archive:
            for path in sorted((dataset / kind).iterdir()):
                archive.write(path, f"{kind}/{path.name}")
    (served / "overview.csv").write_text("new_file_name\n1_t1\n")
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in served.iterdir()}
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_):
            asked.append(self.path)

    handler = functools.partial(Handler, directory=served)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = tmp_path / "download.yaml"
    address = f"http://127.0.0.1:{server.server_port}"
    config.write_text(f"root: data/spider\ndownload: {{address: '{address}', files: {sums}}}\n")
    try:
        missing = fails(workflow, "--configfile", config, "--dry-run")
        assert "snakemake download" in line_with(missing, "data/spider/images: no such folder")
        for removed, expected in ((None, 3), (None, 3), ("images", 4)):  # what is there is not fetched again
            if removed:
                shutil.rmtree(workflow.folder / "data/spider" / removed)
            workflow("download", "--configfile", config)
            assert len(asked) == expected
    finally:
        server.shutdown()
    fetched = workflow.folder / "data/spider"
    assert np.array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(fetched / "images/1_t1.mha")),
        sitk.GetArrayFromImage(sitk.ReadImage(dataset / "images/1_t1.mha")),
    )
    planned = workflow("--configfile", config, "--dry-run").stdout
    assert "extract_slices" in planned
    assert "download" not in planned.partition("Job stats:")[2]
