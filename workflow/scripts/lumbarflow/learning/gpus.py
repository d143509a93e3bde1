"""GPUs of this machine, shared between trainings: each training takes one that no other holds."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

CHOICE = "CUDA_VISIBLE_DEVICES"
NONE = ("-1", "NoDevFiles")  # what stands there for no GPU
PHYSICAL = "SLURM_JOB_GPUS"  # SLURM gives each job its own GPUs, and may call them 0, 1, ... in each
PAUSE = 5.0  # seconds between looks for a free GPU
_held: list[IO[str]] = []  # open for as long as this process lives: its end, however it ends, frees the GPU


def listed() -> list[str]:
    """The GPUs that this process may use, as CUDA names them: those of CUDA_VISIBLE_DEVICES, which a cluster sets, or
    else all that nvidia-smi lists. A name that stands there twice may be used twice."""
    chosen = os.environ.get(CHOICE)
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        ends = [place for place, name in enumerate(names) if name in NONE]  # CUDA takes what stands before
        return [name for name in names[: min(ends, default=None)] if name]
    try:
        asked = subprocess.run(["nvidia-smi", "-L"], capture_output=True, encoding="utf-8", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU (\d+):", asked.stdout, re.M)


def take(names: Sequence[str], folder: str | Path = "") -> str | None:
    """Wait for a GPU that no other job on this machine holds, make it the only one that this process sees, and
    hold it until the process ends; None if there are none. folder: of the locks, one for each user and GPU.

    Snakemake counts GPUs, but does not say which: two trainings would both take the first.
    """
    log = logging.getLogger(__name__)
    where = Path(folder or tempfile.gettempdir())
    physical = [name for name in os.environ.get(PHYSICAL, "").split(",") if name]
    called = physical if len(physical) == len(names) else names
    called = [name.replace("/", "-") for name in called]  # of a part of a GPU
    slots = [where / f"lumbarflow-{os.getuid()}-gpu-{n}-{called[:k].count(n)}.lock" for k, n in enumerate(called)]
    said = False
    while slots:
        for name, slot in zip(names, slots, strict=True):
            if handle := _lock(slot):
                _held.append(handle)
                os.environ[CHOICE] = name
                log.info("GPU %s of %s is this job's own", name, ", ".join(names))
                return name
        if not said:
            log.warning("waiting: every GPU (%s) is held by another job; see %s", ", ".join(names), where)
            said = True
        time.sleep(PAUSE)
    return None


def free() -> None:
    """Give back what `take` took."""
    while _held:
        _held.pop().close()


def _lock(path: Path) -> IO[str] | None:
    """The open file if its lock was free. Where the file system has no locks, every GPU counts as free."""
    handle = open(path, "a")  # noqa: SIM115 - it stays open
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    except OSError as error:
        logging.getLogger(__name__).warning("%s: cannot be locked (%s); going on without", path, error.strerror)
    return handle
