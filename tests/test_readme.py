"""The Python blocks of the README, the dataset cards and the results page run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("datasets/*/README.md")),
    ROOT / "examples/results/README.md",
]
BLOCKS = [
    (page.relative_to(ROOT).as_posix(), block)
    for page in PAGES
    for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
]


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[page for page, _ in BLOCKS])
def test_block_runs(
    page: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a block may write files
    exec(compile(block, page, "exec"), {"__name__": "readme"})


def test_first_block_is_at_most_fifteen_lines() -> None:
    page, block = BLOCKS[0]
    assert page == "README.md"
    assert len([line for line in block.splitlines() if line.strip()]) <= 15


def test_readme_is_one_page() -> None:
    assert len(PAGES[0].read_text("utf-8").splitlines()) <= 250


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_pictures_and_cards_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+\.(?:md|png|json))\)", page.read_text("utf-8"))
    missing = [link for link in links if not (page.parent / link).is_file()]
    assert not missing
