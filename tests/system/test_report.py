"""The report in a real browser, offline. Needs Debian's chromium: `make test-system`."""

import base64
import html
import json
import os
import re
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


# opens every category and every item in it, and notes what is shown
DRIVE = """
window.addEventListener('load', async () => {
  const wait = ms => new Promise(done => setTimeout(done, ms));
  const link = text => [...document.querySelectorAll('a')].find(a => a.textContent.trim() === text);
  const spread = image => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [64, 64];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0, 64, 64);
    const grey = [...context.getImageData(0, 0, 64, 64).data].filter((_, k) => k % 4 === 1);
    return Math.max(...grey) - Math.min(...grey);
  };
  await wait(500);
  const found = {};
  const names = [...document.querySelectorAll('a')].map(a => a.textContent.trim()).filter(t => /^\\d /.test(t));
  for (const name of names) {
    link(name).click();
    await wait(200);
    found[name] = [];
    for (let k = 0; k < document.querySelectorAll('a[iconname=eye]').length; k++) {
      document.querySelectorAll('a[iconname=eye]')[k].click();
      await wait(200);
      const item = {};
      for (const image of [...document.querySelectorAll('#app img')].filter(e => !e.closest('nav')))
        item.image = [image.naturalWidth, spread(image)];
      for (const frame of document.querySelectorAll('#app iframe')) item.table = frame.src;
      found[name].push(item);
    }
    document.querySelector('nav ol a').click();
    await wait(200);
  }
  const requests = performance.getEntriesByType('resource').map(entry => entry.name.slice(0, 80));
  const result = document.createElement('pre');
  result.id = 'found';
  result.textContent = JSON.stringify({found, requests});
  document.body.append(result);
});
"""


def test_the_report_opens_and_so_does_everything_in_it(tiny_run, tiny_config, browse):
    report = tiny_run.folder / "report.html"
    tiny_run("--configfile", tiny_config, "--report", report)
    picture = tiny_run.folder / "report.png"
    shot = browse(report, f"--screenshot={picture}", "--window-size=1400,900")
    assert not console(shot), console(shot)
    assert np.asarray(Image.open(picture).convert("L")).std() > 5, "the page is blank"
    driven = tiny_run.folder / "driven.html"
    head, _, tail = report.read_text(encoding="utf-8").rpartition("</body>")
    driven.write_text(f"{head}<script>{DRIVE}</script></body>{tail}", encoding="utf-8")
    page = browse(driven, "--dump-dom", "--virtual-time-budget=120000")
    result = noted(page)
    assert [name.partition(" (")[0] for name in result["found"]] == [
        *("1 Tables", "2 Comparisons", "3 Training", "4 Segmentations", "5 Dataset", "6 What APTA changes"),
    ]
    for name, items in result["found"].items():
        assert items, f"{name} is empty"
        for item in items:
            assert item, f"{name}: an item shows nothing"
            if "image" in item:
                assert item["image"][0] > 500
                assert item["image"][1] > 50, f"{name}: a blank picture"
            else:
                content = base64.b64decode(item["table"].partition("base64,")[2]).decode()
                assert content.count("<tr>") > 1, f"{name}: a table without rows"
    outside = [url for url in result["requests"] if not url.startswith(("data:", "blob:", "file:"))]
    assert not outside, outside


# a column of numbers in each table
COLUMN = {
    **{"summary": 4, "table1": 5, "table2": 3, "table3": 4, "leakage": 14, "paper_comparison": 4, "ladder": 4},
    **{"paper_audit": 3, "intervals": 4, "variants": 5, "apta_fidelity": 4},
}

# opens every table in a frame, counts its rows, clicks on the head of a column and notes that column's cells
SORT = """
window.addEventListener('load', () => {
  const found = {};
  for (const frame of document.querySelectorAll('iframe')) {
    const page = frame.contentDocument;
    const rows = page.querySelectorAll('tr').length;
    page.querySelectorAll('th')[frame.dataset.column].click();
    const cells = [...page.querySelectorAll('tr')].slice(1).map(row => row.cells[frame.dataset.column].textContent);
    found[frame.name] = {rows, cells};
  }
  const result = document.createElement('pre');
  result.id = 'found';
  result.textContent = JSON.stringify(found);
  document.body.append(result);
});
"""


def noted(page):
    """What a page's script left in its <pre id="found">."""
    assert not console(page), console(page)
    return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', page.stdout, re.S)[1]))


@pytest.fixture(scope="module")
def sorted_tables(tiny_run, browse):
    """{table: {rows: their number, cells: of its column in COLUMN, once that was clicked on}}, by one Chromium."""
    tables = tiny_run.results / "tables"
    frames = [
        f'<iframe name="{name}" data-column="{column}" src="{(tables / name).as_uri()}.html"></iframe>'
        for name, column in COLUMN.items()
    ]
    page = tiny_run.folder / "sorted.html"
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8>{''.join(frames)}<script>{SORT}</script>", encoding="utf-8")
    return noted(browse(page, "--dump-dom", "--allow-file-access-from-files"))


@pytest.mark.parametrize("name", list(COLUMN))
def test_tables_show_their_rows_and_sort(tiny_run, sorted_tables, name):
    table = tiny_run.results / f"tables/{name}.csv"
    rows = len(table.read_text(encoding="utf-8").splitlines()) - 1
    assert sorted_tables[name]["rows"] == rows + 1
    cells = sorted_tables[name]["cells"]
    assert len(cells) == rows
    numbers = [float(cell) for cell in cells if cell != "–"]
    assert numbers == sorted(numbers)
    # a sequence of the tiny run has too few test patients for intervals
    assert not numbers if name == "intervals" else len(set(numbers)) > 2
