"""The lines that a run shows: counts, time left, and failures at the end, from records like Snakemake's."""

import io
import logging

import pytest

from lumbarflow import progress

JOBS = {"slices": 4, "train": 2}


class Run:
    """A logger with a terminal as Snakemake has it, and a clock that is set by hand."""

    def __init__(self, chosen=False):
        self.now, self.terminal = 0.0, io.StringIO()
        self.logger = logging.Logger("run")
        handler = logging.StreamHandler(self.terminal)
        handler.name = "DefaultStreamHandler"
        self.logger.addHandler(handler)
        progress.show(self.logger, JOBS, chosen)
        for each in self.logger.handlers:
            if isinstance(each, progress.Progress):
                each.clock = lambda: self.now
                each.start = each.last = 0.0

    def log(self, event, **about):
        self.logger.info(f"{event} as Snakemake tells it", extra={"event": event, **about})

    def job(self, number, rule, seconds):
        self.log("job_info", jobid=number, rule_name=rule)
        self.now += seconds
        self.log("job_finished", job_id=number)

    def lines(self):
        return [line.split(maxsplit=1)[1] for line in self.terminal.getvalue().splitlines() if line]


def test_a_line_a_rule_with_counts_and_the_time_left():
    run = Run()
    for number in range(4):
        run.job(number, "slices", 2)
    run.log("progress", done=4, total=6)
    run.job(4, "train", 100)
    run.job(5, "train", 140)
    assert [" ".join(line.split()) for line in run.lines()] == [
        "slices 4 of 4 4 of 6 jobs",  # no training has told yet how long it takes
        "train 1 of 2 5 of 6 jobs, about 0:01:40 left",  # after a minute of silence
        "train 2 of 2 6 of 6 jobs",
    ]


def test_jobs_at_the_same_time_leave_less():
    run = Run()
    for number in range(3):
        run.log("job_info", jobid=number, rule_name="slices")
    run.now = 61
    for number in range(3):
        run.log("job_finished", job_id=number)
    assert "3 of 6 jobs" not in run.terminal.getvalue()  # no line for each job
    assert "1 of 6 jobs, at least 0:03:03 left" in run.terminal.getvalue()


def test_failures_stand_at_the_end_each_reason_once(tmp_path):
    run = Run()
    for number, name in enumerate(("a", "b", "c")):
        why = f'File "/home/me/.snakemake/scripts/tmp{name}12.extract_slices.py", line 8'  # a copy for each job
        what = "mended" if name == "c" else "x.mha: cut short"
        text = f"10:00:00 INFO reads {name}\n10:00:01 ERROR {what}\n{why}\n"
        (tmp_path / name).write_text(text)
        run.log("job_info", jobid=number, rule_name="slices")
        log = [str(tmp_path / name)]
        run.log("job_error", jobid=number, rule_name="slices", log=log, output=[], rule_msg=None)
    run.logger.error("CalledProcessError in file x.smk", extra={"event": "error"})
    run.job(2, "slices", 1)  # tried again, and done
    assert "cut short" not in run.terminal.getvalue()
    progress.end(run.logger)
    progress.end(run.logger)  # as at the end of the process
    shown = run.terminal.getvalue()
    assert shown.count("slices failed") == 3
    assert shown.endswith(
        f"\nError in rule slices ({tmp_path / 'a'}),\n         rule slices ({tmp_path / 'b'}):\n"
        '    x.mha: cut short\n    File "workflow/scripts/extract_slices.py", line 8\n'
    )
    assert "mended" not in shown
    assert "CalledProcessError" not in shown
    assert "Snakemake tells it" not in shown


def test_a_job_without_a_log_names_its_output():
    run = Run()
    run.log("job_error", jobid=1, rule_name="train", log=[], output=["model.keras"], rule_msg=None)
    progress.end(run.logger)
    assert "Error in rule train (model.keras):\n    no log tells why\n" in run.terminal.getvalue()


def test_what_a_cluster_says_of_a_job_that_it_ended(tmp_path):
    for name, text in (
        ("ended", "10:00:00 INFO reads\n"),
        ("failed", "10:00:00 INFO reads\n10:00:01 ERROR no voxels\n"),
    ):
        run = Run()
        (tmp_path / name).write_text(text)
        verdict = "SLURM-job '4711' failed, SLURM status is: 'OUT_OF_MEMORY'"
        log = [str(tmp_path / name)]
        run.log("job_error", jobid=1, rule_name="train", log=log, output=[], rule_msg=verdict)
        progress.end(run.logger)
        shown = run.terminal.getvalue()
        assert (f":\n    {verdict}\n    10:00:00 INFO reads\n" in shown) == (name == "ended")
        assert (":\n    no voxels\n" in shown) == (name == "failed")


@pytest.mark.parametrize("tail", ["", "Killed\n"])
def test_a_log_without_an_error_shows_its_last_lines(tmp_path, tail):
    path = tmp_path / "log"
    path.write_text("".join(f"10:00:00 INFO line {k}\n" for k in range(99)) + tail)
    own, found = progress.error_lines([path, tmp_path / "missing"])
    assert own == []
    assert len(found) == progress.SHOWN
    assert found[-1] == (tail.strip() or "10:00:00 INFO line 98")


def test_whoever_chose_other_output_has_snakemakes():
    run = Run(chosen=True)
    run.job(1, "slices", 1)
    assert "job_finished as Snakemake tells it" in run.terminal.getvalue()
    assert "4 jobs" not in run.terminal.getvalue()
