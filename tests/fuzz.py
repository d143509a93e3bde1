"""Feed mutated volumes or sheets to the readers: python fuzz.py volumes|sheets SECONDS FOLDER.

Prints how many were tried and refused. Anything but DataError ends it, as do signals, hangs and
running out of 1 GB beyond what the libraries take.
"""

import faulthandler
import resource
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from lumbarflow import DataError
from lumbarflow.data import dataset, dicom, nifti, volumes  # noqa: F401  readers, before memory is limited

SHEET = b"volume,patient,sequence,image,mask,subset\na,1,t1,a.mha,b.mha,training\nb,2,t2,c.mha,d.mha,validation\n"
PIECES = [
    *(b"-1", b"0", b"1e30", b"nan", b"65536 65536 65536", b"99999999999999999999", b"2147483648", b"True", b"LIST"),
    *(b"/etc/passwd", b"../../x", b"%n%s", b"\0", b"\n", b"=", b",", b'"', b"=cmd()", b"\xff" * 8, b"MET_DOUBLE"),
    *(b"\x7f\xff", b"\x00\x80", b"ElementDataFile = x.raw\n", b"NDims = 9\n", b"CompressedData = True\n"),
]


@st.composite
def mutations(draw, originals, head):
    """One of the originals, some bytes of its head replaced, inserted, doubled or cut out."""
    name, content = draw(st.sampled_from(originals))
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, min(len(content), head)))
        end = min(start + draw(st.integers(0, 12)), len(content))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8), st.just(bytes(content[start:end]) * 2)))
        content[start:end] = piece
    if draw(st.integers(0, 9)) == 0:
        del content[draw(st.integers(0, len(content))) :]
    return name, bytes(content)


def write_originals(folder):
    """Names and contents of small sound volumes of every format."""
    image = sitk.GetImageFromArray(np.arange(120, dtype=np.int16).reshape(4, 5, 6))
    for name, packed in (("a.mha", True), ("b.mha", False), ("c.mhd", False), ("d.nii", False), ("e.nii.gz", True)):
        sitk.WriteImage(image, str(folder / name), packed)
        yield name, (folder / name).read_bytes()
    sitk.WriteImage(image[:, :, 0], str(folder / "f.dcm"))
    yield "f.dcm", (folder / "f.dcm").read_bytes()


LEAST = 200  # files to try, however slow the machine is: one seed


def main(what, seconds, folder):
    faulthandler.enable()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    folder = Path(folder)
    originals = list(write_originals(folder)) if what == "volumes" else [("samples.csv", SHEET)]
    for name in "abcd":
        (folder / f"{name}.mha").touch()
    # what the libraries have reserved by now, and 1 GB
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), -1))
    read = volumes.read if what == "volumes" else dataset.read_sheet
    counts, ends = [0, 0], time.monotonic() + float(seconds)
    options = {"max_examples": 200, "deadline": None, "database": None, "phases": [Phase.generate, Phase.shrink]}

    @settings(**options, suppress_health_check=list(HealthCheck))
    @given(mutations(originals, 420))
    def drive(mutated):
        if time.monotonic() > ends and counts[0] > LEAST:
            return
        name, content = mutated
        path = folder / f"m{name}"
        path.write_bytes(content)
        faulthandler.dump_traceback_later(30, exit=True)  # a hang
        counts[0] += 1
        try:
            read(path)
        except DataError as error:
            if path.name not in str(error):
                raise RuntimeError("names no file") from error
            counts[1] += 1
        faulthandler.cancel_dump_traceback_later()

    number = 0
    while time.monotonic() < ends or counts[0] <= LEAST:
        seed(number)(drive)()
        number += 1
    print(*counts)


main(*sys.argv[1:])
