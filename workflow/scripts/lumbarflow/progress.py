"""What the terminal shows of a run: a line a stage, with a count and the time left; what failed last, and alone.

Snakemake reports what happens as log records with an `event`. A handler of them prints the lines; a filter keeps those
records from Snakemake's own handler of the terminal. Its log file, below .snakemake/log, has them all.
"""

from __future__ import annotations

import atexit
import logging
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

REPLACED = ("job_info", "job_started", "job_finished", "job_error", "group_info", "progress")
REPLACED_LINES = ("Select jobs to execute", "Exiting because a job execution failed")
PATIENCE = 60.0  # seconds without a line, after which the next job that is done gets one
COPIED = r"[^\"]*/\.snakemake/scripts/tmp\w+\."  # Snakemake runs a copy of each script, of another name in each job
SHOWN = 30  # at most so many lines of the log of a failed job


def _event(record: logging.LogRecord) -> str:
    return str(getattr(record, "event", "") or "")


def _replaced(record: logging.LogRecord) -> bool:
    if "CalledProcessError" in str(record.msg):  # that a job failed, which its log says better
        return True
    return _event(record) in REPLACED or (not _event(record) and str(record.msg).startswith(REPLACED_LINES))


def error_lines(paths: Iterable[str | Path]) -> tuple[list[str], list[str]]:
    """(what logs of a failed job say went wrong: from the last ERROR on; the last lines of logs without any)."""
    found: tuple[list[str], list[str]] = [], []
    for path in paths:
        try:
            lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        starts = [k for k, line in enumerate(lines) if line[8:].startswith(" ERROR ")]
        lines = [re.sub(COPIED, "workflow/scripts/", line) for line in lines[starts[-1] if starts else 0 :]]
        found[not starts].extend([line.partition(" ERROR ")[2] or line for line in lines][-SHOWN:])
    return found


class Progress(logging.Handler):
    """Prints the lines. jobs: {rule: number of jobs that are to run}; clock: seconds, monotonic."""

    def __init__(self, jobs: Mapping[str, int], stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.INFO)
        self.jobs, self.stream, self.clock = Counter(jobs), stream, clock
        self.done: Counter[str] = Counter()
        self.spent: dict[str, float] = defaultdict(float)  # seconds of the jobs that are done, by rule
        self.began: dict[int, tuple[str, float]] = {}  # of each job that runs: its rule, when
        self.failed: dict[int, Any] = {}
        self.start = self.last = clock()
        self.lines = threading.RLock()

    def emit(self, record: logging.LogRecord) -> None:
        event, about = _event(record), record.__dict__
        with self.lines:
            if event == "job_info":
                self.began[about["jobid"]] = (about["rule_name"], self.clock())
                self.failed.pop(about["jobid"], None)  # it is tried again
            elif event == "job_error":
                self.began.pop(about["jobid"], None)
                self.failed[about["jobid"]] = record
                self._say(f"{about['rule_name']} failed; what went wrong is said at the end, unless it is tried again")
            elif event == "job_finished" and about["job_id"] in self.began:
                self._finish(about["job_id"])

    def _finish(self, job: int) -> None:
        rule, began = self.began.pop(job)
        now = self.clock()
        self.done[rule] += 1
        self.spent[rule] += now - began
        if self.done[rule] == self.jobs[rule] or now - self.last > PATIENCE:
            count = f"{self.done[rule]} of {self.jobs[rule]}"
            self._say(
                f"{rule:<20} {count:>13}   {sum(self.done.values())} of {sum(self.jobs.values())} jobs{self.left()}"
            )

    def _say(self, text: str) -> None:
        self.last = self.clock()
        self.stream.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
        self.stream.flush()

    def left(self) -> str:
        """The time that the jobs left need at the pace of their rules so far, as text. At least so long, where a rule
        has yet to finish its first job."""
        todo = self.jobs - self.done
        known = [rule for rule in todo if self.done[rule]]
        busy = sum(self.spent.values())
        if not busy or not todo:
            return ""
        seconds = sum(todo[rule] * self.spent[rule] / self.done[rule] for rule in known)
        at_once = max(busy / max(self.clock() - self.start, 1e-9), 1)
        if seconds < at_once:  # less than a second
            return ""
        kind = "about" if len(known) == len(todo) else "at least"
        return f", {kind} {timedelta(seconds=round(seconds / at_once))} left"

    def end(self) -> None:
        """Say what failed since the last call, with the reasons that the jobs' logs give; the same reason once."""
        reasons: dict[str, list[str]] = {}
        while self.failed:
            about = self.failed.pop(next(iter(self.failed))).__dict__
            # a log without an error is that of a job which was ended: the cluster says why, for want of memory, say
            ended = [str(about["rule_msg"])] if about["rule_msg"] else []
            own, last = error_lines(about["log"])
            lines = own or [*ended, *last] or ["no log tells why"]
            told = f"rule {about['rule_name']} ({', '.join(about['log'] or about['output'])})"
            reasons.setdefault("".join(f"    {line}\n" for line in lines), []).append(told)
        for reason, jobs in reasons.items():
            self.stream.write("\nError in " + ",\n         ".join(jobs) + f":\n{reason}")
        self.stream.flush()


def end(logger: logging.Logger) -> None:
    """Let each Progress of a logger say what failed."""
    for each in logger.handlers:
        if isinstance(each, Progress):
            each.end()


def show(logger: logging.Logger, jobs: Mapping[str, int], chosen: bool) -> None:
    """Let these lines stand in place of Snakemake's on the terminal. chosen: whether the user chose other ones (by
    --quiet, --verbose and their like)."""
    terminal = [each for each in logger.handlers if each.name == "DefaultStreamHandler"]
    if chosen or not terminal:
        return
    terminal[0].addFilter(lambda record: not _replaced(record))
    logger.addHandler(Progress(jobs, terminal[0].stream))  # type: ignore[attr-defined]
    atexit.register(end, logger)  # a run that is stopped does not come to onerror
