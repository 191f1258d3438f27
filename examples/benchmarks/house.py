"""How large the package is, and which of its files only one other file imports.

Run `python examples/benchmarks/house.py`.
"""

import ast
import inspect
import statistics
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pyg_relational"


def modules() -> dict[str, Path]:
    """Returns the files of the package by the names of their modules."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names[name.removesuffix(".__init__")] = path
    return names


def importers() -> dict[str, set[str]]:
    """Returns which modules import each module, package files not counted."""
    known = modules()
    found: dict[str, set[str]] = {name: set() for name in known}
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in known:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found[inner if inner in known else node.module].add(name)
    return {
        name: {user for user in users if known[user].name != "__init__.py"}
        for name, users in found.items()
        if known[name].name not in ("__init__.py", "__main__.py")
    }


def layer_lines() -> dict[str, int]:
    """Returns the lines of every public layer."""
    from pyg_relational import nn

    return {
        name: len(inspect.getsource(getattr(nn, name)).splitlines())
        for name in nn.__all__
    }


def main() -> None:
    """Prints the figures."""
    files = modules()
    lines = sum(len(path.read_text().splitlines()) for path in files.values())
    print(f"{lines:,} lines in {len(files)} files")
    print(f"README: {len((ROOT / 'README.md').read_text().splitlines())} lines")
    print(f"median public layer: {statistics.median(layer_lines().values())} lines")
    folders = {path.relative_to(PACKAGE).parts[0] for path in files.values()}
    for folder in sorted(folders):
        own = [path for path in files.values() if path.is_relative_to(PACKAGE / folder)]
        total = sum(len(path.read_text().splitlines()) for path in own)
        print(f"  {folder:15} {total:6,} lines in {len(own):3} files")
    for name, users in importers().items():
        if len(users) == 1:
            print(f"only {next(iter(users))} imports {name}")


if __name__ == "__main__":
    main()
