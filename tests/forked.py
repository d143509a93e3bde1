"""Snakemake without the second that its imports take: each run is forked from a process that has made them.

The fork server is that of Python's multiprocessing: one helper process for each pytest process, started at the first
run. It imports the modules of PRELOADED and does nothing else: it parses no Snakefile, starts no thread, holds no file
of a test. For each run it forks a child, and the child does what `python -m snakemake ARGUMENTS` does, with its own
command line, folder, environment, import path and output. So

- a run is a process of its own: `pid` can be killed, and no run sees what another one did;
- it is the true parent of its jobs, which are started as ever, by a shell and a new Python (lumbarflow.job.end_with
  watches that parent);
- edits of the Snakefile, the rules or the library count in the next run: none of them is imported in the helper.

What differs from the true command: /proc shows the helper's command line, and runs share one seed of string hashes.
Tests that need another user, limits, a process group or an odd environment start the true command (conftest.Workflow).
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Snakemake, and what it imports when a workflow is read; a name that is missing costs time and nothing else.
PRELOADED = [
    *("snakemake.cli", "snakemake.profiles", "snakemake.storage", "snakemake.scheduling.greedy"),
    *("snakemake.report.html_reporter", "snakemake.linting.rules", "smart_open", "nbformat", "fastjsonschema"),
    *("jsonschema", "yte", "dpath", "requests", "platformdirs", "packaging.version", "pygments.formatters.html"),
    *("pygments.lexers.python", "PIL.Image", "graphlib", "difflib", "argparse_dataclass"),
]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)


def _snakemake(arguments, folder, environment, output):
    """What the forked child does."""
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # as of `python -m snakemake`; what pytest has put on the path, the library among it, is not for the workflow
    sys.path[:] = [str(folder), *(path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix)))]
    import atexit

    import snakemake.cli

    sys.argv = [snakemake.cli.__file__.replace("cli.py", "__main__.py"), *arguments]
    try:
        snakemake.cli.main(arguments)
    finally:
        atexit._run_exitfuncs()  # multiprocessing ends its processes without: temporary folders would stay


class Run:
    """A forked Snakemake, with what the tests use of subprocess.Popen. Its output, both streams, goes to a file."""

    def __init__(self, arguments, folder, environment):
        self.args = ["snakemake", *map(str, arguments)]
        self._output = tempfile.NamedTemporaryFile(prefix="snakemake-", suffix=".txt")  # noqa: SIM115
        what = (self.args[1:], str(folder), dict(environment), self._output.name)
        # daemon: ended with pytest, where a failed test leaves it at work
        self._process = CONTEXT.Process(target=_snakemake, args=what, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    poll = returncode.fget

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def kill(self):
        self._process.kill()

    def communicate(self):
        self.wait()
        return Path(self._output.name).read_text(encoding="utf-8", errors="replace"), None
