"""What happens around a script's main(): log file, progress, errors as one line."""

import errno
import logging
import os
import platform
import re
import resource
import select
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import DataError
from .files import locked

SHELLS = ("bash", "sh", "dash")
PACKAGES = (
    "snakemake",
    "numpy",
    "scipy",
    "SimpleITK",
    "numba",
    "opencv-python-headless",
    "pandas",
    "keras",
    "tensorflow",
)
# errors of the file system, and what the user can do about each
DISK = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EROFS: "choose another folder with --directory",
    errno.EACCES: "choose another folder with --directory, or ask for the right to write",
    errno.EPERM: "choose another folder with --directory, or ask for the right to write",
}
PROGRESS = "lumbarflow.learning.training"  # the logger whose lines also go to the terminal
LISTED = 20  # at most so many input files are named in a log


def find_snakemake() -> tuple[int | None, str]:
    """(process id, command line) of the process that started this job, ignoring shells; (None, "") without /proc."""
    try:
        process = os.getppid()
        while Path(f"/proc/{process}/comm").read_text().strip() in SHELLS:
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        words = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        return process, shlex.join(words)
    except OSError:
        return None, ""


def end_with(process: int | None) -> None:
    """Exit as soon as `process` has ended: an orphan would keep writing while the next run makes the same files."""
    if process is None:
        return
    try:
        handle = os.pidfd_open(process)
    except (AttributeError, OSError):  # not Linux
        return

    def wait() -> None:
        select.select([handle], [], [])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def software() -> str:
    """Version of this software, and its commit where it runs from a clone."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "CITATION.cff").is_file():
        return f"lumbarflow {version('lumbarflow')}, installed"
    stated = re.search(r"^version: (.+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    name = f"lumbarflow {stated[1] if stated else 'of unknown version'}"
    if not (root / ".git").exists():  # a copy; or a folder within another project's clone
        return f"{name}, no clone"
    asked = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        said = subprocess.run(asked, capture_output=True, encoding="utf-8", timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return f"{name}, commit unknown: no git here"
    return f"{name}, commit {said.stdout.strip() or 'unknown'}"


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """{package: version} of those packages that this environment has."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _log_circumstances(log: logging.Logger, snakemake: Any, command: str) -> None:
    log.info("rule %s, wildcards %s, %d threads", snakemake.rule, dict(snakemake.wildcards), snakemake.threads)
    log.info("command %s", command)
    log.info("%s", software())
    log.info(
        "in %s, Python %s on %s, process %d", os.getcwd(), platform.python_version(), platform.platform(), os.getpid()
    )
    log.info("versions %s", ", ".join(f"{name} {number}" for name, number in versions().items()))
    log.info("params %s", dict(snakemake.params))
    inputs = [str(path) for path in snakemake.input]
    sizes = [f"{path} ({os.path.getsize(path)} bytes)" for path in inputs[:LISTED] if os.path.exists(path)]
    log.info("%d inputs: %s%s", len(inputs), ", ".join(sizes), " ..." if len(inputs) > LISTED else "")


def run(main: Callable[[Any], None], snakemake: Any) -> None:
    """Call main(snakemake) in a Snakemake job; do nothing if something else, such as a test, imports the script.

    Log lines go to the rule's log; warnings and the progress of a training also go to the terminal. A
    DataError ends the job with its one-line message, any other error with its traceback.
    """
    if snakemake is None:
        return
    sys.path.append(os.getcwd())  # modules that the config names may be here
    # must be set before numpy, numba or TensorFlow is imported; Snakemake sets only the OMP and MKL variables
    os.environ["NUMBA_NUM_THREADS"] = str(snakemake.threads)
    # compiled code is cached in the working folder, not beside the source
    os.environ.setdefault("NUMBA_CACHE_DIR", os.path.abspath(".snakemake/numba"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    file = _log_to(snakemake)
    log = logging.getLogger("lumbarflow.job")
    parent, command = find_snakemake()
    end_with(parent)
    _log_circumstances(log, snakemake, command)
    started = time.perf_counter()
    try:
        main(snakemake)
    except Exception as error:
        text, traced = _reason(error)
        # to the file alone: Snakemake shows the log of a failed job
        file.handle(log.makeRecord(log.name, logging.ERROR, "", 0, text, (), sys.exc_info() if traced else None))
        sys.exit(1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    log.info("done in %.1f s, peak memory %.0f MiB", time.perf_counter() - started, peak)


def _log_to(snakemake: Any) -> logging.Handler:
    """Send log lines to the rule's log, which the handler returned writes, and what the user should see at once to the
    terminal."""
    # Python still writes to the terminal; what C libraries print (TensorFlow when it starts) goes to the log
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")
    os.dup2(os.open(snakemake.log[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644), 2)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(lambda record: record.name == PROGRESS or record.levelno >= logging.WARNING)
    file = logging.FileHandler(snakemake.log[0], "a", encoding="utf-8")
    # on the terminal, lines of several jobs mix
    of = " ".join(f"{key} {value}" if value.isdigit() else value for key, value in snakemake.wildcards.items())
    terminal.setFormatter(logging.Formatter(f"%(asctime)s  {of}{': ' if of else ''}%(message)s", "%H:%M:%S"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[terminal, file])
    logging.captureWarnings(True)
    return file


def _reason(error: Exception) -> tuple[str, bool]:
    """What the log says of an error that ends a job, and whether its traceback follows."""
    if isinstance(error, DataError):
        return str(error), False
    if isinstance(error, OSError) and (advice := DISK.get(error.errno or 0)):
        where = error.filename or "results"
        return f"{where}: cannot be written or read: {error.strerror}; {advice}, and run again", True
    return "unexpected error", True


def compile_once(function: Callable[..., object], *arguments: Any) -> None:
    """Call a numba function once, to compile it or to load what another job compiled. A lock admits one process at a
    time, because parallel writers to numba's cache (NUMBA_CACHE_DIR as it was when numba was imported) race."""
    with locked(Path(os.environ["NUMBA_CACHE_DIR"]) / "lock"):
        function(*arguments)
