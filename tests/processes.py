"""Which jobs of a run are at work, and how to kill it."""

import re
import time
from pathlib import Path


def descendants(process):
    """Process ids below one, by /proc."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat[1])
    found, new = set(), {process}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(happened, process, seconds=600):
    """Poll until it happened or the process ended; returns whether it happened."""
    end = time.monotonic() + seconds
    while not happened():
        if process.poll() is not None:
            return happened()
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)
    return True


def at_work(workflow):
    """{rule: process id} of the jobs that are running, from their logs."""
    found = {}
    for path in (workflow.results / "logs").rglob("*.log"):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:  # Snakemake takes away what a killed job left
            continue
        said = re.search(r"rule (\w+),(?s:.*) process (\d+)$", text, re.M)
        if said and is_running(int(said[2])):
            found[said[1]] = int(said[2])
    return found


def kill_snakemake(process):
    """SIGKILL; returns once the jobs that it left have ended, too: no orphan writes on."""
    children = descendants(process.pid)
    process.kill()
    process.wait()
    end = time.monotonic() + 120
    while any(is_running(child) for child in children):
        assert time.monotonic() < end, children
        time.sleep(0.05)
