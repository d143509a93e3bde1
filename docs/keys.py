"""Write the tables of config/README.md anew, from the schemas and registries: `make docs` does so.

A table stands between `<!-- keys NAME: KEY ... -->` and `<!-- end -->`. NAME is a schema (config, experiment), KEY a
key of it, or `KEY.*` for all that are below it; the table also shows what config/config.yaml sets.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from lumbarflow import settings  # noqa: E402

MANUAL = ROOT / "config/README.md"
TABLE = re.compile(r"(<!-- keys (\w+): ([^>]*?) -->\n).*?(<!-- end -->)", re.S)
# which of the config's recipes and experiments a table shows, by where its keys stand
SHOWN = {"slices": ("released", "sound"), "labels": ("apta", "lut"), "filters": ("paper", "labelled")}
PROTOCOLS = ("released", "sound")


def described(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Each key of a schema by its path, `*` standing for any name, and its description."""
    for key, value in schema.get("properties", {}).items():
        yield f"{path}{key}", value["description"]
        yield from described(value, f"{path}{key}.")
    names = schema.get("additionalProperties")
    if isinstance(names, dict):
        yield from described(names, f"{path}*.")


def shown(value: Any) -> str:
    """A value as one writes it in YAML; nothing for one that has keys of its own, or that is not set."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return "" if value in (None, "") or isinstance(value, dict) else f"`{value}`"


def found(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def table(name: str, keys: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """The table of these keys {path: description} of a schema."""
    group, star, _ = next(iter(keys)).partition(".*.")
    if name == "experiment":
        columns = {each: settings.experiment(config, each) for each in PROTOCOLS}
    elif star and group in SHOWN:
        columns = {each: {group: {"*": config[group][each]}} for each in SHOWN[group]}
    else:
        columns = {"default": config}
    values = [[shown(found(tree, key)) for tree in columns.values()] for key in keys]
    if not any(map(any, values)):
        columns, values = {}, [[] for _ in keys]
    # a key stands without what the whole table has in common
    common = len(group) + 3 if star else 0
    lines = [["key", *columns, "meaning"], ["---"] * (len(columns) + 2)]
    lines += [[f"`{key[common:]}`", *own, about] for (key, about), own in zip(keys.items(), values, strict=True)]
    return "".join(re.sub(r" +\|", " |", f"| {' | '.join(line)} |\n") for line in lines)


def filled(text: str) -> str:
    """The manual with its tables made anew. Raises KeyError for a key that no schema has, or that no table holds."""
    config = settings.with_defaults({}, ROOT / "config/config.yaml")
    folder = ROOT / "workflow/schemas"
    schemas = {
        "config": settings.config_schema(config, folder),
        "experiment": settings.experiment_schema(config, "sound", folder),
    }
    left = {name: dict(described(schema)) for name, schema in schemas.items()}
    all_keys = {name: dict(keys) for name, keys in left.items()}

    def fill(match: re.Match[str]) -> str:
        start, name, wanted, end = match.groups()
        keys = {}
        for key in wanted.split():
            below = key.removesuffix("*")
            several = [each for each in all_keys[name] if each.startswith(below)] if key.endswith(".*") else [key]
            for each in several:
                keys[each] = all_keys[name][each]
                left[name].pop(each, None)
        return f"{start}\n{table(name, keys, config)}\n{end}"

    text = TABLE.sub(fill, text)
    if missing := [f"{name}: {key}" for name, keys in left.items() for key in keys]:
        raise KeyError(f"config/README.md: no table holds {', '.join(missing)}")
    return text


if __name__ == "__main__":
    MANUAL.write_text(filled(MANUAL.read_text(encoding="utf-8")), encoding="utf-8")
