"""Pages of the site that stand elsewhere in the project, and links, written for a reader of the files, turned."""

import re
from pathlib import Path, PurePosixPath

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {  # file of the project: page of the site
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "config/README.md": "config.md",
    "models/README.md": "model.md",
    "results/README.md": "results.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def turned(text: str, source: str) -> str:
    """Markdown of a file of the project as it must stand in the site. source: path of the file in the project."""

    def link(match: re.Match[str]) -> str:
        mark, shown, target, anchor = match.groups()
        path = PurePosixPath(source).parent / target
        parts: list[str] = []
        for part in path.parts:
            parts = parts[:-1] if part == ".." else [*parts, part]
        name = "/".join(parts)
        page = PAGES.get(f"{name}/README.md", PAGES.get(name))
        if page is None and name.startswith("docs/"):
            page = name.removeprefix("docs/")
        # what the site does not hold stands in the project, under this name
        if page:
            return f"{mark}[{shown}]({page}{anchor or ''})"
        return f"`{name}`" if shown == name else f"{shown} (`{name}`)"

    return LINK.sub(link, text)


def on_files(files, config):
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown, page, config, files):
    sources = {name: source for source, name in PAGES.items()}
    return turned(markdown, sources.get(page.file.src_uri, f"docs/{page.file.src_uri}"))
