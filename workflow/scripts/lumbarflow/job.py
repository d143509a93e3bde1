"""Frame around a script's main(): log file, progress, errors as one line."""

import logging
import os
import platform
import resource
import sys
import time
from pathlib import Path

from . import DataError
from .files import locked


def run(main, snakemake):
    """Call main(snakemake) if a job is what imported the script; nothing otherwise (a test, say).

    What is logged goes to the rule's log, a training's progress to the terminal, too. A DataError
    ends the job with its one line, anything else with its traceback.
    """
    if snakemake is None:
        return
    # before numpy, numba or TensorFlow are imported: Snakemake sets only the OMP and MKL variables
    os.environ["NUMBA_NUM_THREADS"] = str(snakemake.threads)
    # compiled code is kept with the results' own Snakemake folder, not beside the source
    os.environ.setdefault("NUMBA_CACHE_DIR", os.path.abspath(".snakemake/numba"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Python goes on writing to the terminal; what libraries below it print (TensorFlow's start) goes to the log
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")
    os.dup2(os.open(snakemake.log[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644), 2)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(lambda record: record.name == "lumbarflow.training" or record.levelno >= logging.WARNING)
    file = logging.FileHandler(snakemake.log[0], "a", encoding="utf-8")
    for handler in (terminal, file):
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[terminal, file])
    logging.captureWarnings(True)
    log = logging.getLogger("lumbarflow.job")
    log.info("rule %s, wildcards %s, %d threads", snakemake.rule, dict(snakemake.wildcards), snakemake.threads)
    log.info("Python %s on %s, process %d", platform.python_version(), platform.platform(), os.getpid())
    log.info("params %s", dict(snakemake.params))
    started = time.perf_counter()
    try:
        main(snakemake)
    except DataError as error:
        file.handle(log.makeRecord(log.name, logging.ERROR, "", 0, str(error), (), None))
        sys.exit(1)
    except Exception:
        # to the file alone: Snakemake shows the log of a failed job
        file.handle(log.makeRecord(log.name, logging.ERROR, "", 0, "unexpected error", (), sys.exc_info()))
        sys.exit(1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    log.info("done in %.1f s, peak memory %.0f MiB", time.perf_counter() - started, peak)


def compile_once(function, *arguments):
    """Compile by a first call, or load what another job compiled, one process at a time: parallel writers of numba's
    cache (in the folder that NUMBA_CACHE_DIR named when numba was imported) race."""
    with locked(Path(os.environ["NUMBA_CACHE_DIR"]) / "lock"):
        function(*arguments)
