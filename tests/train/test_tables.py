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
    update_readme,
    with_solved,
)

README = "# Title\n<!-- table:tiny -->\nold\n<!-- /table:tiny -->\nend\n"


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


def test_readme_is_updated_and_checked(tmp_path: Path, results: dict) -> None:
    records, readme = tmp_path / "records", tmp_path / "README.md"
    record(records / "tiny.json", results)
    readme.write_text(README)
    assert not update_readme(readme, records, check=True)
    assert readme.read_text() == README
    assert not update_readme(readme, records, check=False)
    assert update_readme(readme, records, check=True)
    text = readme.read_text()
    assert "old" not in text
    assert text.startswith("# Title\n<!-- table:tiny -->\n| |")
    assert text.endswith("<!-- /table:tiny -->\nend\n")
    record(records / "tiny.json", second_seed(results))
    assert not update_readme(readme, records, check=True)


def test_tables_and_records_must_match(tmp_path: Path, results: dict) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(README)
    with pytest.raises(UsageError, match="shows table 'tiny'"):
        update_readme(readme, tmp_path / "records", check=True)
    record(tmp_path / "records" / "tiny.json", results)
    readme.write_text("# Title\n")
    with pytest.raises(UsageError, match="has no place for"):
        update_readme(readme, tmp_path / "records", check=True)
    with pytest.raises(UsageError, match="cannot read"):
        update_readme(tmp_path / "missing.md", tmp_path / "records", check=True)


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


def test_other_models_are_rows_of_the_same_table(tmp_path: Path, results: dict) -> None:
    readme, records = tmp_path / "README.md", tmp_path / "records"
    readme.write_text(README)
    record(records / "tiny.json", results)
    other = copy.deepcopy(results)
    other["model"], other["baseline"] = "attention", None
    other["test"]["kind"]["relational"]["ours"] = 0.5
    record(records / "tiny-attention.json", other)
    update_readme(readme, records, check=False)
    text = readme.read_text()
    lines = [line for line in text.splitlines() if line.startswith("| **ours")]
    assert [line.split("**")[1] for line in lines] == [
        "ours: relation",
        "ours: attention",
    ]
    assert "| 50.0 |" in lines[1]
    assert text.count("baseline: no-pairs") == 1
    assert "\nattention: Accuracy in %" in text
    assert update_readme(readme, records, check=True)


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
