"""The guide: its Python blocks run, one after the other; its links lead somewhere."""

import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "examples" / "guide"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = {
    page.stem: list(BLOCK.finditer(page.read_text("utf-8")))
    for page in sorted(GUIDE.glob("*.md"))
}


@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if blocks])
def test_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # blocks write files
    # A module, where the compiler and pickle look names up.
    module = ModuleType(f"guide_{page.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path = GUIDE / f"{page}.md"
    for block in BLOCKS[page]:
        # Blank lines, so that an error tells the line of the page.
        line = block.string.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(path), "exec"), module.__dict__)


def test_links_of_the_repository_lead_to_files() -> None:
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("datasets/*/README.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
        if not re.match(r"[a-z]+:|#", link)
        and not (page.parent / link.partition("#")[0]).exists()
    ]
    assert not broken, "\n".join(broken)


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    draw = runpy.run_path(str(GUIDE / "figures.py"))["draw"]
    draw(tmp_path / "sorted-sum.svg")
    committed = (GUIDE / "sorted-sum.svg").read_text("utf-8")
    drawn = (tmp_path / "sorted-sum.svg").read_text("utf-8")
    # Versions of matplotlib differ in digits.
    assert re.sub(r"[\d.\-]+", "", drawn) == re.sub(r"[\d.\-]+", "", committed)
