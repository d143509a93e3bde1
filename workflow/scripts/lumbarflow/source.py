"""Which code a result depends on, and its digest.

Snakemake does not notice edits of imported modules, and it does not compare scripts by content. Therefore each rule
has a digest among its params: of its script and of all that the script imports from this library, directly or
indirectly. It depends on content alone: a fresh clone, a checkout, a `touch` or another folder does not change it.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

from . import DataError

SCRIPTS = Path(__file__).resolve().parents[1]


def project(*names: str) -> Path:
    """A file or folder of the project, such as config/labels: in the clone, or within the package if installed."""
    installed = SCRIPTS / "lumbarflow" / "project"
    return (installed if installed.is_dir() else SCRIPTS.parents[1]).joinpath(*names)


def shipped_model() -> str:
    """Path of the model that comes with the software; empty where there is none."""
    return str(next(iter(sorted(project("models").glob("*.zip"))), ""))


def _statements(path: Path, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Dotted names that a file imports, split into their parts; `from a import b` gives a.b, which may or may not be
    a module. package: that of the file, for relative imports."""
    for node in _walk(_parse(path)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, alias.name) for alias in node.names)


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise DataError(f"{path}{line}: this is no Python: {getattr(error, 'msg', error)}") from None


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """The statements of a tree without those under `if TYPE_CHECKING`. Expressions hold no imports and are skipped."""
    yield node
    only_types = isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    for block in ("orelse",) if only_types else ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, block, ()):
            yield from _walk(child)


INSTALLED = ("site-packages", "dist-packages")  # folders of packages that have nothing to do with each other


@cache
def _imports(path: Path, root: Path) -> tuple[frozenset[Path], frozenset[str]]:
    """Files below `root` that one file of `root` imports, and names of the other packages that it imports, which are
    all others where packages are installed.

    For each package in an imported name, its __init__.py and the data files beside it count as imported.
    """
    files: set[Path] = set()
    foreign: set[str] = set()
    package = path.relative_to(root).with_suffix("").parts[0]
    for name in _statements(path, path.relative_to(root).parent.parts):
        there = (root / name[0]).is_dir() or (root / f"{name[0]}.py").is_file()
        if not there or (root.name in INSTALLED and name[0] != package):
            foreign.add(name[0])
            continue
        folder = root
        for part in name:
            folder = folder / part
            if folder.is_dir():
                files |= {file for file in folder.iterdir() if file.name == "__init__.py" or _is_data(file)}
            elif folder.with_suffix(".py").is_file():
                files.add(folder.with_suffix(".py"))
    return frozenset(files), frozenset(foreign)


def _is_data(file: Path) -> bool:
    return file.is_file() and file.suffix not in (".py", ".pyc") and not file.name.startswith(".")


def closure(path: Path, root: Path = SCRIPTS) -> tuple[set[Path], set[str]]:
    """(files, packages): a file of `root` and all files below `root` that it imports, directly or indirectly; the
    packages outside `root` that these import, including Python's own."""
    files: set[Path] = set()
    foreign: set[str] = set()
    new = {path}
    while new:
        file = new.pop()
        files.add(file)
        if file.suffix == ".py":
            imported, others = _imports(file, root)
            foreign |= others
            new |= imported - files
    return files, foreign


def find(module: str, key: str = "config") -> tuple[Path, Path]:
    """(file, root) of a module such as `package.module`, without importing it; root: the folder with its top level. It
    is looked for as by a job: on Python's path, then in the working folder. Raises DataError that names the config's
    `key`.
    """
    here, top = Path.cwd(), module.partition(".")[0]
    path: list[str] | None = [*(each for each in sys.path if Path(each) not in (Path(), here)), str(here)]
    origin = None
    for depth in range(module.count(".") + 1):
        spec = PathFinder.find_spec(".".join(module.split(".")[: depth + 1]), path)
        if spec is None:
            break
        try:
            origin, path = spec.origin, list(spec.submodule_search_locations or ())
        except KeyError:  # of a folder without __init__.py below another such one
            spec = None
            break
    if spec is None or origin is None or not origin.endswith(".py"):
        raise DataError(
            f"{key}: there is no module {module!r}; expected a Python file in the working folder, on PYTHONPATH or "
            "installed"
        )
    file, depth = Path(origin), module.count(".") + (Path(origin).name == "__init__.py")
    is_here = (here / f"{top}.py").is_file() or (here / top / "__init__.py").is_file()
    if top in sys.builtin_module_names or (is_here and not file.parents[depth].samefile(here)):
        other = "Python's own" if top in sys.builtin_module_names else str(file)
        raise DataError(f"{key}: a job would not find the working folder's {top}, but {other}; give yours another name")
    return file.resolve(), file.resolve().parents[depth]


def check_function(name: str, options: Iterable[str], key: str) -> None:
    """Check that a `package.module:function` exists and has these options, without importing it; other names pass. What
    cannot be told from the module's text alone is left to the job that imports it. Raises DataError that names the
    config's `key`.
    """
    module, _, function = name.partition(":")
    if not function:
        return
    defined: dict[str, ast.stmt] = {}
    certain = True
    for node in _parse(find(module, key)[0]).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                defined[node.name] = node
            case ast.Import() | ast.ImportFrom():
                defined |= {(alias.asname or alias.name).partition(".")[0]: node for alias in node.names}
            case ast.Assign() | ast.AnnAssign():
                names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
                defined |= {each.id: node for each in names if isinstance(each.ctx, ast.Store)}
            case ast.Expr():
                continue
            case _:
                certain = False
    if certain and function not in defined and not {"*", "__getattr__"} & set(defined):
        has = ", ".join(each for each, node in defined.items() if isinstance(node, ast.FunctionDef)) or "none"
        raise DataError(f"{key}: module {module} has no function {function!r}; its functions: {has}")
    found = defined.get(function)
    if isinstance(found, ast.FunctionDef) and not found.args.kwarg and not found.decorator_list:
        known = [each.arg for each in (*found.args.posonlyargs, *found.args.args, *found.args.kwonlyargs)]
        for option in options:
            if option not in known:
                raise DataError(f"{key}: {option!r} is no option of {name}, which takes {', '.join(known) or 'none'}")


# {module: files that a program which it starts imports}
RUN_BY_OTHERS = {"lumbarflow/learning/nnunet.py": ("nnunet/trainer.py",)}


@cache
def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def shipped_digest() -> str:
    """SHA-256 of the model that comes with the software."""
    return _sha256(Path(shipped_model()))


def digest(script: str, modules: Iterable[str] = ()) -> str:
    """Digest of the code behind a script of this workflow, and behind modules that the config names."""
    return _digest(script, tuple(modules))


@cache
def _digest(script: str, modules: tuple[str, ...]) -> str:
    """As digest, once for each script: thousands of jobs ask for the same."""
    found = [(SCRIPTS / f"{script}.py", SCRIPTS), *(find(module) for module in modules)]
    sums = {}
    for file, root in found:
        for each in closure(file, root)[0]:
            name = each.relative_to(root).as_posix()
            sums[name] = _sha256(each)
            sums |= {other: _sha256(SCRIPTS / other) for other in RUN_BY_OTHERS.get(name, ())}
    return hashlib.sha256("".join(f"{sums[name]} {name}\n" for name in sorted(sums)).encode()).hexdigest()[:16]
