import copy
import json
from pathlib import Path

import pytest
from rich.console import Console

from pyg_relational._checks import UsageError
from pyg_relational.train.results import (
    print_table,
    read_results,
    record,
    render,
    shown,
    table_text,
    update_pages,
    with_solved,
)

CARD = "# Its (new) title\n<!-- table:tiny -->\nold\n<!-- /table:tiny -->\nend\n"
HEADLINES = "<!-- headlines -->\nold\n<!-- /headlines -->\n"
PAGES = ["README.md", "cards/*/README.md"]
SPEED = {
    "columns": ["way", "time", "memory"],
    "rows": [["slow: a loop", "12 s", "3"], ["quick: ours", "3 s", "-"]],
    "caption": "One run. `pyg-relational benchmark speed --run r-seed1,r-seed2`",
}


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A page with all headlines, and a card with the table."""
    monkeypatch.chdir(tmp_path)
    card = Path("cards/tiny/README.md")
    card.parent.mkdir(parents=True)
    card.write_text(CARD)
    Path("README.md").write_text(HEADLINES)
    return Path("README.md"), card


def rows_of(page: Path) -> list[list[str]]:
    lines = [x for x in page.read_text().splitlines() if x.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines]


def update(check: bool = False, pages: list[str] = PAGES) -> list[str]:
    return update_pages(pages, Path("records"), check)


@pytest.fixture
def results(finished_run: Path) -> dict:
    content = read_results(finished_run)
    cell = content["test"]["kind"]["relational"]
    cell["ours"], cell["baseline"] = 0.96, 0.625
    return content


def second_seed(results: dict) -> dict:
    other = copy.deepcopy(results)
    other["seed"] = 1
    other["test"]["kind"]["relational"]["ours"] = 0.98
    return other


def test_record_merges_by_seed(tmp_path: Path, results: dict) -> None:
    path = tmp_path / "records" / "tiny.json"
    record(path, second_seed(results))
    record(path, results)
    results["test"]["kind"]["relational"]["ours"] = 0.97
    record(path, results)
    content = json.loads(path.read_text())
    assert [run["seed"] for run in content["runs"]] == [0, 1]
    ours = [run["test"]["kind"]["relational"]["ours"] for run in content["runs"]]
    assert ours == [0.97, 0.98]
    assert content["runs"][0]["versions"] == results["versions"]


def test_record_refuses_other_settings(tmp_path: Path, results: dict) -> None:
    record(tmp_path / "tiny.json", results)
    other = second_seed(results)
    other["settings"]["budget"]["max_epochs"] = 99
    with pytest.raises(UsageError, match="differ from this one in settings"):
        record(tmp_path / "tiny.json", other)


def test_table_shows_mean_and_spread(tmp_path: Path, results: dict) -> None:
    path = tmp_path / "tiny.json"
    record(path, results)
    assert "| 96.0 |" in render(json.loads(path.read_text()))
    record(path, second_seed(results))
    table = render(json.loads(path.read_text()))
    assert "| 97.0 ± 1.4 |" in table
    assert "| 62.5 ± 0.0 |" in table
    assert "| paper | - | > 94 | - |" in table
    assert "seeds 0, 1" in table
    assert "`pyg-relational train tiny.yaml`" in table


def test_pages_are_updated_and_checked(pages: tuple[Path, Path], results: dict) -> None:
    readme, card = pages
    record(Path("records/tiny.json"), results)
    both = [str(readme), str(card)]
    assert update(check=True) == both
    assert card.read_text() == CARD
    assert update() == both
    assert update(check=True) == []
    text = card.read_text()
    assert "old" not in text + readme.read_text()
    assert text.startswith("# Its (new) title\n<!-- table:tiny -->\n| |")
    assert text.endswith("<!-- /table:tiny -->\nend\n")
    record(Path("records/tiny.json"), second_seed(results))
    assert update(check=True) == both


def test_headlines_name_the_best_baseline(
    pages: tuple[Path, Path], results: dict
) -> None:
    readme, card = pages
    cells = results["test"]["kind"]
    cells["relational"]["references"] = {"counting": 0.75, "guessing": None}
    cells["non-relational"]["references"] = {"counting": None, "guessing": None}
    record(Path("records/tiny.json"), results)
    record(Path("records/tiny.json"), second_seed(results))
    card.write_text(f"{CARD}<!-- headlines tiny -->\n<!-- /headlines -->\n")
    update()
    (row,) = [x for x in rows_of(readme) if "94" in x[3]]
    assert row == [
        "[tiny](cards/tiny/README.md#its-new-title): relational, accuracy in %",
        "97.0 ± 1.4 (relation)",
        "75.0 ± 0.0 (counting)",
        "> 94 (paper)",
        "0, 1",
        "`pyg-relational train tiny.yaml`",
    ]
    assert rows_of(card)[-1][1:] == row[1:]
    assert rows_of(card)[-1][0] == "[tiny](#its-new-title): relational, accuracy in %"
    results["metric"] = "squared_error"
    Path("records/tiny.json").unlink()
    record(Path("records/tiny.json"), results)
    update()
    assert rows_of(readme)[-1][2] == "0.625 (no-pairs)"


def test_a_figure_with_published_results_has_a_headline(
    pages: tuple[Path, Path], results: dict
) -> None:
    cell = results["test"]["kind"]["relational"]
    results["test"] = {"all": {"all": cell}, "length": {"9": cell, "10": cell}}
    results["published"] = [
        {"name": "paper", "figures": {"9": "1", "10": "2"}, "source": "", "read": False}
    ]
    results["baseline"] = None
    for column in (cell, *results["test"]["length"].values()):
        column["baseline"] = None
    record(Path("records/tiny.json"), results)
    update()
    assert [row[:4] for row in rows_of(pages[0])[1:]] == [
        [
            "[tiny](cards/tiny/README.md#its-new-title): accuracy in %",
            "96.0 (relation)",
            "-",
            "-",
        ],
        [
            "[tiny](cards/tiny/README.md#its-new-title): length 10, accuracy in %",
            "96.0 (relation)",
            "-",
            "2 (paper, from memory)",
        ],
    ]


def test_every_record_has_one_place(pages: tuple[Path, Path], results: dict) -> None:
    readme, card = pages
    with pytest.raises(UsageError, match="shows table 'tiny'"):
        update()
    record(Path("records/tiny.json"), results)
    with pytest.raises(UsageError, match=r"cannot read 'missing\.md'"):
        update(pages=["missing.md"])
    card.write_text("# Title\n")
    with pytest.raises(UsageError, match=r"tiny\.json'; add the lines .* cards/"):
        update()
    card.write_text(CARD)
    readme.write_text(HEADLINES + CARD)
    with pytest.raises(UsageError, match=r"'README\.md' and again in 'cards/tiny"):
        update()
    readme.write_text("<!-- headlines tiny -->\n<!-- /headlines -->\n")
    with pytest.raises(UsageError, match="place for the headlines of all"):
        update()
    readme.write_text(HEADLINES + "<!-- headlines tinny -->\n<!-- /headlines -->\n")
    with pytest.raises(UsageError, match="headline of 'tinny'"):
        update()
    assert card.read_text() == CARD


def test_pages_may_be_absolute(pages: tuple[Path, Path], results: dict) -> None:
    readme, card = (page.absolute() for page in pages)
    record(Path("records/tiny.json"), results)
    pattern = [str(readme), str(card.parents[1] / "*" / "README.md")]
    assert update(pages=pattern) == [str(readme), str(card)]
    assert rows_of(readme)[-1][0].startswith(
        "[tiny](cards/tiny/README.md#its-new-title): "
    )


def benchmark(headline: str) -> None:
    Path("records").mkdir(exist_ok=True)
    Path("records/speed.json").write_text(json.dumps({"table": SPEED, "seed": 7}))
    table = "<!-- table:speed -->\n<!-- /table:speed -->\n"
    Path("README.md").write_text(f"{HEADLINES}{headline}\n{table}")


def test_headline_of_a_benchmark(pages: tuple[Path, Path], results: dict) -> None:
    record(Path("records/tiny.json"), results)
    benchmark(
        "<!-- headline:speed all pairs | {quick/time} | {max not quick/memory} | - -->"
    )
    update()
    assert [row for row in rows_of(pages[0]) if "speed" in row[0]] == [
        [
            "speed: all pairs",
            "3 s",
            "3 (slow)",
            "-",
            "1, 2",
            "`pyg-relational benchmark speed --run r-seed1,r-seed2`",
        ]
    ]


@pytest.mark.parametrize(
    ("headline", "error"),
    [
        ("", "has no headline for table 'speed'; add a line"),
        ("a | {quick/hours} | - | -", "no column 'hours', there are way, time, memory"),
        ("a | {fast/time} | - | -", "no row of the table begins with 'fast'"),
        ("a | {min not slow/memory} | - | -", "'memory' is not all numbers"),
        ("a | b | c", "expected four parts .* got 3: a | b | c"),
    ],
)
def test_wrong_headline_of_a_benchmark(
    pages: tuple[Path, Path], results: dict, headline: str, error: str
) -> None:
    record(Path("records/tiny.json"), results)
    benchmark(headline and f"<!-- headline:speed {headline} -->")
    with pytest.raises(UsageError, match=error):
        update()


def test_a_headline_stands_beside_its_table(
    pages: tuple[Path, Path], results: dict
) -> None:
    record(Path("records/tiny.json"), results)
    pages[0].write_text(f"{HEADLINES}<!-- headline:tiny a | b | c | d -->\n")
    with pytest.raises(UsageError, match="does not show its table"):
        update()


def test_printed_table_fits_a_terminal(results: dict) -> None:
    console = Console(width=80, record=True)
    print_table(results, console)
    lines = console.export_text().splitlines()
    ours = next(line for line in lines if "ours (relation)" in line)
    assert ours.split()[3] == "96.0"
    baseline = next(line for line in lines if "baseline" in line)
    assert "62.5" in baseline.split()
    assert not any("…" in line for line in lines)


def test_unfinished_results(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UsageError, match="holds no test figures"):
        read_results(tmp_path)


def test_other_models_are_rows_of_the_same_table(
    pages: tuple[Path, Path], results: dict
) -> None:
    readme, card = pages
    record(Path("records/tiny.json"), results)
    other = copy.deepcopy(results)
    other["model"], other["baseline"] = "attention", None
    other["test"]["kind"]["relational"]["ours"] = 0.5
    record(Path("records/tiny-attention.json"), other)
    update()
    text = card.read_text()
    lines = [line for line in text.splitlines() if line.startswith("| **ours")]
    assert [line.split("**")[1] for line in lines] == [
        "ours: relation",
        "ours: attention",
    ]
    assert "| 50.0 |" in lines[1]
    assert text.count("baseline: no-pairs") == 1
    assert "\nattention: Accuracy in %" in text
    assert rows_of(readme)[-1][1:3] == ["50.0 (attention)", "62.5 (no-pairs)"]
    assert update(check=True) == []

    block = "<!-- table:tiny-attention -->\n<!-- /table:tiny-attention -->\n"
    readme.write_text(HEADLINES + block)
    update()
    assert "ours: attention" not in card.read_text()
    assert readme.read_text().count("ours: attention") == 1


def test_many_columns_become_rows(tmp_path: Path, results: dict) -> None:
    cell = results["test"]["kind"]["relational"]
    results["test"] = {
        "all": {"all": {**cell, "references": {"counting": 0.5}}},
        "task": {
            f"task {number}": {**cell, "references": {"counting": None}}
            for number in range(20)
        },
        "solved": {"tasks above 95%": {**cell, "ours": 12.0, "references": {}}},
    }
    record(tmp_path / "tiny.json", results)
    lines = render(json.loads((tmp_path / "tiny.json").read_text())).splitlines()
    assert (
        lines[0] == "| | **ours: relation** | baseline: no-pairs | counting | paper |"
    )
    assert lines[2].startswith("| all | 96.0 | 62.5 | 50.0 |")
    assert lines[3].startswith("| task 0 | 96.0 | 62.5 | - |")
    assert lines[23].startswith("| tasks above 95% | 12 | ")


def test_solved_groups_are_counted() -> None:
    scores = {"all": {"all": 0.8}, "task": {"a": 0.96, "b": 0.95, "c": 1.0}}
    counted = with_solved(scores, {"task": 0.95})
    assert counted["solved"] == {"tasks above 95%": 2.0}
    assert with_solved(scores, {}) == scores


def test_a_recipe_may_ask_for_confidence_intervals(
    tmp_path: Path, results: dict
) -> None:
    path = tmp_path / "tiny.json"
    results["spread"] = "interval"
    record(path, results)
    record(path, second_seed(results))
    text = render(json.loads(path.read_text()))
    # 0.96 and 0.98 have the deviation 0.0141; t of one degree of freedom is 12.706.
    assert "97.0 ± 12.7" in text
    assert "± half the 95 % confidence interval (Student's t) over seeds 0, 1" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "1.500"),
        (0.0123, "0.012"),
        (0.00987, "0.0099"),
        (0.00045, "0.00045"),
        (4.5e-6, "4.5e-06"),
        (0.0, "0.000"),
    ],
)
def test_small_errors_keep_two_digits(value: float, text: str) -> None:
    assert shown(value, "squared_error", "all") == text


def test_small_shares_stay_short() -> None:
    assert shown(0.00012, "accuracy", "all") == "0.0"


def test_benchmarks_are_aligned_for_the_terminal() -> None:
    rows = [["slow", "1,200 s"], ["quicker", "3 s"]]
    table = {"columns": ["way", "time"], "rows": rows, "caption": "One run."}
    assert table_text(table).split("\n") == [
        "way         time",
        "slow     1,200 s",
        "quicker      3 s",
        "One run.",
    ]
