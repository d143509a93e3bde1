"""nnU-Net (Isensee et al., Nature Methods 2021), the real program, in an environment of its own: its dataset, its
commands."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import CLASSES, DataError, files
from ..job import PROGRESS
from ..source import SCRIPTS

DATASET = "Dataset001_lumbar"  # each raw folder holds one
PLANS = "nnUNetPlans"
TRAINER = "nnUNetTrainerLumbarflow"
ENDING = ".nii.gz"
FOLDERS = ("raw", "preprocessed", "results")  # nnU-Net's variables nnUNet_raw and so on
VENV = SCRIPTS.parents[1] / ".venv-nnunet" / "bin"
TIME = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+: ?")  # before its lines
GRACE = 2.0  # seconds that workers have to end after their program
LAST = 8  # lines of nnU-Net that an error repeats


def splits(subsets: Sequence[Mapping[str, str]]) -> list[dict[str, list[str]]]:
    """splits_final.json. subsets: {volume: its subset} of each fold, in their order."""
    return [
        {
            "train": [name for name, subset in fold.items() if subset == "train"],
            "val": [name for name, subset in fold.items() if subset == "validation"],
        }
        for fold in subsets
    ]


def seen(subsets: Sequence[Mapping[str, str]]) -> set[str]:
    """Volumes that are not for test in every fold. Of the others nnU-Net must see nothing, not even for its plan."""
    return {name for fold in subsets for name, subset in fold.items() if subset != "test"}


def description(number: int) -> dict[str, Any]:
    """dataset.json of a raw dataset with `number` training volumes."""
    return {
        "channel_names": {"0": "MRI"},  # normalised by z-score, as everything but CT
        "labels": {name: k for k, name in enumerate(CLASSES)},
        "numTraining": number,
        "file_ending": ENDING,
    }


def find(command: str) -> str:
    """Path of a command of nnU-Net: beside this Python (a conda environment), in .venv-nnunet, or on the PATH.

    Raises DataError where it is not installed.
    """
    where = os.pathsep.join([str(Path(sys.executable).parent), str(VENV), os.environ.get("PATH", "")])
    found = shutil.which(command, path=where)
    if not found:
        raise DataError(
            f"nnU-Net is not installed: {command} is neither in {VENV} nor on the PATH; install it with "
            "`make install ENV=nnunet`"
        )
    return found


def device(wanted: str, command: str) -> str:
    """nnU-Net's name of the device that config.device means. command: a command of nnU-Net, beside its Python."""
    if wanted != "auto":
        return "cuda" if wanted == "gpu" else "cpu"
    code = "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')"
    asked = subprocess.run([Path(command).with_name("python"), "-c", code], capture_output=True, encoding="utf-8")
    return asked.stdout.strip() or "cpu"


# Waits until the job has ended, however it ended, and then kills what is left of its program: a program's own workers
# do not notice that it was killed.
WATCH = "import os, sys; sys.stdin.read(); os.killpg(int(sys.argv[1]), 9)"


def _end(process: subprocess.Popen[str]) -> None:
    """Once a program has ended, end the workers that it left behind: they would hold its output open for ever."""
    process.wait()
    time.sleep(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def call(
    command: str, arguments: Sequence[str], folders: Mapping[str, str | Path], threads: int, settings: str = ""
) -> None:
    """Run a command of nnU-Net; its lines go to the log, those of epochs to the terminal too.

    folders: of FOLDERS those that it needs; settings: for the trainer. Raises DataError with its last lines if it
    fails.
    """
    environment: dict[str, str] = dict(os.environ)
    environment |= {f"nnUNet_{name}": str(Path(path).resolve()) for name, path in folders.items()}
    environment |= {"nnUNet_extTrainer": str(SCRIPTS / "nnunet"), "LUMBARFLOW_NNUNET": settings}
    environment |= {"nnUNet_n_proc_DA": str(max(threads - 1, 0)), "nnUNet_def_n_proc": "1", "nnUNet_compile": "f"}
    environment |= {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONPATH", None)
    log, last = logging.getLogger(__name__), deque[str](maxlen=LAST)
    log.info("%s %s", command, " ".join(arguments))
    process = subprocess.Popen(
        [command, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    watch = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(process.pid)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    threading.Thread(target=_end, args=(process,), daemon=True).start()
    assert process.stdout is not None
    for line in filter(None, map(str.strip, process.stdout)):
        last.append(line)
        words = TIME.sub("", line)
        (logging.getLogger(PROGRESS) if words.startswith("Epoch ") else log).info("nnU-Net: %s", words)
    process.wait()
    watch.communicate()
    if process.returncode:
        raise DataError(f"nnU-Net failed: {Path(command).name} ended with {process.returncode}: " + " | ".join(last))


def resumed(folder: Path, decisive: Mapping[str, Any], inputs: Sequence[Path]) -> Path:
    """Where a training keeps its checkpoints: a folder whose name is a digest of all that determines the result. Those
    of other settings or inputs are deleted."""
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    for path in inputs:
        digest.update(files.sha256(path.read_bytes()).encode())
    chosen = folder / digest.hexdigest()[:16]
    for other in folder.iterdir() if folder.is_dir() else ():
        if other != chosen:
            shutil.rmtree(other)
    return chosen
