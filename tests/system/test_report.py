"""The report and the documentation in a real browser, offline. Needs Debian's chromium: `make test-system`."""

import base64
import html
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from lumbarflow.application import viewer
from lumbarflow.data import phantom

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
      for (const frame of document.querySelectorAll('#app iframe')) item.page = frame.src;
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
        *(
            "0 What was found",
            "1 Tables",
            "2 Comparisons",
            "3 Training",
            "4 Segmentations",
            "5 Dataset",
            "6 What APTA changes",
        ),
    ]
    for name, items in result["found"].items():
        assert items, f"{name} is empty"
        for item in items:
            assert item, f"{name}: an item shows nothing"
            if "image" in item:
                assert item["image"][0] > 400  # pixels; a cell of the narrowest figure has 150
                assert item["image"][1] > 50, f"{name}: a blank picture"
            else:
                content = base64.b64decode(item["page"].partition("base64,")[2]).decode()
                assert content.count("<tr>") + content.count("<li>") > 1, f"{name}: a page without rows"
    outside = [url for url in result["requests"] if not url.startswith(("data:", "blob:", "file:"))]
    assert not outside, outside


# a column of numbers in each table, as its page shows it
COLUMN = {
    **{"summary": 5, "table1": 4, "table2": 3, "table3": 3, "leakage": 13, "paper_comparison": 3, "ladder": 3},
    **{"paper_audit": 3, "intervals": 4, "variants": 4, "apta_fidelity": 4, "volumes": 9},
}
LAPTOP = 1280  # pixels: wider tables need sideways scrolling

# opens every table in a frame, counts its rows, clicks on the head of a column and notes that column's cells
SORT = """
window.addEventListener('load', () => {
  const found = {};
  for (const frame of document.querySelectorAll('iframe')) {
    const page = frame.contentDocument;
    page.querySelectorAll('thead th')[frame.dataset.column].click();
    const blocks = [...page.querySelectorAll('tbody')].map(body => [...body.querySelectorAll('tr:not(.block)')]
      .map(row => row.cells[frame.dataset.column].textContent));
    found[frame.name] = {blocks, wide: page.documentElement.scrollWidth};
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
    """{table: {blocks: for each block of rows the cells of its column in COLUMN, once that was clicked on; wide: width
    in pixels}}, by one Chromium."""
    tables = tiny_run.results / "tables"
    frames = [
        f'<iframe name="{name}" width="{LAPTOP}" data-column="{column}" src="{(tables / name).as_uri()}.html"></iframe>'
        for name, column in COLUMN.items()
    ]
    page = tiny_run.folder / "sorted.html"
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8>{''.join(frames)}<script>{SORT}</script>", encoding="utf-8")
    return noted(browse(page, "--dump-dom", "--allow-file-access-from-files"))


@pytest.mark.parametrize("name", list(COLUMN))
def test_tables_show_their_rows_and_sort(tiny_run, sorted_tables, name):
    table = tiny_run.results / f"tables/{name}.csv"
    rows = len(table.read_text(encoding="utf-8").splitlines()) - 1
    blocks = sorted_tables[name]["blocks"]
    assert sorted_tables[name]["wide"] <= LAPTOP
    assert sum(map(len, blocks)) == rows
    for cells in blocks:
        numbers = [float(cell) for cell in cells if cell != "–"]
        assert numbers == sorted(numbers)
    numbers = [float(cell) for cells in blocks for cell in cells if cell != "–"]
    assert len(set(numbers)) > 2


# waits for the viewer, then steps through it, and notes what is shown. Chromium's virtual time does not stand still
# while pictures are decoded: each wait also takes some work's worth of real time.
SCROLL = """
window.addEventListener('load', async () => {
  const wait = ms => new Promise(done => setTimeout(() => {
    let work = 0;
    for (let k = 0; k < 1e7; k++) work += Math.sqrt(k);
    done(work);
  }, ms));
  while (!document.body.dataset.ready) await wait(50);
  const colours = () => {
    const data = pen.getImageData(0, 0, view.width, view.height).data;
    let count = 0;
    for (let k = 0; k < data.length; k += 4) count += data[k] !== data[k + 1];
    return count;
  };
  const found = { first: [slice.value, colours()] };
  view.onkeydown({ key: 'ArrowRight' });
  found.next = [slice.value, colours()];
  opacity.value = 0;
  opacity.oninput();
  found.bare = colours();
  const box = view.getBoundingClientRect(), [x, y] = %s;
  view.onmousemove({ clientX: box.left + x * box.width, clientY: box.top + y * box.height });
  found.at = document.getElementById('at').textContent;
  document.body.dataset.found = JSON.stringify(found);
});
"""


def test_a_scan_can_be_scrolled_through(browse, tmp_path):
    image, labels, _ = phantom.make_volume(3, 1, "t2_SPACE")
    text = viewer.page(image, labels, (2.4, 1.5, 1.5), "anna </script><b>", {1: "L5"}, ["a <b>look</b>"])
    rows, columns = np.nonzero(labels[9] == 1)
    at = [(columns.mean() + 0.5) / labels.shape[2], (rows.mean() + 0.5) / labels.shape[1]]
    page = tmp_path / "view.html"
    page.write_text(text.replace("</body>", f"<script>{SCROLL % json.dumps(at)}</script></body>"), encoding="utf-8")
    shown = browse(page, "--dump-dom", "--virtual-time-budget=60000")
    assert console(shown) == []
    found = json.loads(html.unescape(re.search(r'data-found="([^"]*)"', shown.stdout)[1]))
    coloured = [int((labels[k] > 0).sum()) for k in (8, 9)]
    for (index, count), expected, number in zip((found["first"], found["next"]), coloured, ("8", "9"), strict=True):
        assert index == number
        assert count == pytest.approx(expected, rel=0.02)  # a colour can meet the grey it lies on
    assert found["bare"] == 0
    assert found["at"] == "L5"
    assert "&lt;b&gt;look" in shown.stdout


# notes of each page of the site, in a frame as wide as a laptop's screen: its heading, its pictures, what it loaded
PAGES = """
window.addEventListener('load', () => {
  const found = {};
  for (const frame of document.querySelectorAll('iframe')) {
    const page = frame.contentDocument;
    found[frame.name] = {
      heading: page.querySelector('h1').textContent,
      pictures: [...page.querySelectorAll('img')].map(image => image.naturalWidth),
      wide: page.documentElement.scrollWidth,
      loaded: frame.contentWindow.performance.getEntriesByType('resource').map(entry => entry.name),
    };
  }
  const result = document.createElement('pre');
  result.id = 'found';
  result.textContent = JSON.stringify(found);
  document.body.append(result);
});
"""


def test_the_site_of_the_documentation(tmp_path, browse):
    """It builds without a dead link; each page shows itself and its pictures, and loads nothing from outside."""
    tool = ROOT / ".venv-docs/bin/mkdocs"
    if not tool.exists():
        if os.environ.get("LUMBARFLOW_STRICT"):
            pytest.fail("MkDocs is not installed: `make install ENV=docs` should have done that")
        pytest.skip("MkDocs is not installed; `make install ENV=docs` does that")
    site = tmp_path / "site"
    command = [tool, "build", "--quiet", "--config-file", ROOT / "mkdocs.yml", "--site-dir", site]
    subprocess.run(command, check=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    pages = sorted(path.name for path in site.glob("*.html") if path.name != "404.html")
    frames = [f'<iframe name="{name}" width="{LAPTOP}" height="800" src="{name}"></iframe>' for name in pages]
    (site / "all.html").write_text(f"<!DOCTYPE html>{''.join(frames)}<script>{PAGES}</script>", encoding="utf-8")
    found = noted(browse(site / "all.html", "--dump-dom", "--allow-file-access-from-files"))
    sources = [*(ROOT / "docs").glob("*.md"), *("changelog", "config", "contributing", "model", "results")]
    assert len(found) == len(sources)
    assert found["methods.html"]["pictures"] == [640] * 4
    for name, page in found.items():
        assert page["heading"].strip("¶\n "), name
        assert all(page["pictures"]), name
        assert page["wide"] <= LAPTOP, name
        assert all(url.startswith(("file:", "data:")) for url in page["loaded"]), name
