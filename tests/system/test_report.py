"""The report in a real browser, offline. Needs Debian's chromium: `make test-system`."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Run headless Chromium on a page: browse(page, *options) -> finished process."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        if os.environ.get("LUMBARFLOW_STRICT"):
            pytest.fail("chromium is not installed: tests/system/install.sh should have done that")
        pytest.skip("chromium is not installed; `make test-system` installs it")
    profile = tmp_path_factory.mktemp("profile")

    def run(page, *options):
        return subprocess.run(
            [
                *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
                *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
                *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=8000", f"--user-data-dir={profile}"),
                *("--enable-logging=stderr", *options, page.as_uri()),
            ],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
        )

    return run


def console(process):
    return [line for line in process.stderr.splitlines() if "CONSOLE" in line and ("rror" in line or "ailed" in line)]


def test_the_report_opens(tiny_run, tiny_config, browse):
    report = tiny_run.folder / "report.html"
    tiny_run("--configfile", tiny_config, "--report", report)
    picture = tiny_run.folder / "report.png"
    shot = browse(report, f"--screenshot={picture}", "--window-size=1400,900")
    assert not console(shot), console(shot)
    assert np.asarray(Image.open(picture).convert("L")).std() > 5, "the page is blank"
    text = browse(report, "--dump-dom").stdout
    for words in ("1 Tables", "3 Training", "4 Segmentations"):
        assert words in text


@pytest.mark.parametrize("name", ["summary", "table1", "table2", "table3", "leakage"])
def test_tables_show_their_rows_and_sort(tiny_run, browse, name):
    page = tiny_run.results / f"tables/{name}.html"
    rows = len(page.with_suffix(".csv").read_text(encoding="utf-8").splitlines()) - 1
    shown = browse(page, "--dump-dom")
    assert not console(shown), console(shown)
    assert shown.stdout.count("<tr>") == rows + 1
    # a copy that clicks on its first number column
    column = {"summary": 2, "table1": 5, "table2": 3, "table3": 3, "leakage": 3}[name]
    clicked = tiny_run.folder / f"{name}.html"
    click = f"<script>document.querySelectorAll('th')[{column}].click()</script></body>"
    clicked.write_text(page.read_text(encoding="utf-8").replace("</body>", click), encoding="utf-8")
    text = browse(clicked, "--dump-dom").stdout
    cells = [row.split("</td>")[column].rpartition(">")[2] for row in text.split("<tr>")[2:]]
    numbers = [float(cell) for cell in cells if cell != "–"]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 2
