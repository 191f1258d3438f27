import functools
import multiprocessing
import pickle
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data, InMemoryDataset, SQLiteDatabase

from pyg_relational.data.in_order import in_order
from pyg_relational.datasets import ChunkedOnDiskDataset
from pyg_relational.datasets import on_disk as on_disk_file

# Children start from a process that has imported everything and run nothing.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["pyg_relational.datasets"])
SIZES = (2, 0, 3, 1, 4)


@pytest.fixture(autouse=True)
def found_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes import this file by its name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def graph(number: int, size: int) -> Data:
    generator = torch.Generator().manual_seed(number)
    edges = number % 3 if size else 0
    return Data(
        x=torch.randn(size, 3, generator=generator),
        edge_index=torch.randint(max(size, 1), (2, edges), generator=generator),
        edge_attr=torch.arange(edges, dtype=torch.int16)[:, None, None] + number,
        y=torch.tensor([number]),
        seen=torch.arange(size) > 1,
    )


def graphs(chunk: int, sizes: tuple[int, ...] = SIZES) -> Any:
    """A chunk of graphs that differ from those of all others."""
    made = [graph(10 * chunk + place, size) for place, size in enumerate(sizes)]
    return InMemoryDataset.collate(made)


def slowly(chunk: int, seconds: float = 0.1, notes: str = "") -> Any:
    time.sleep(seconds)
    if notes:
        with Path(notes).open("a") as file:
            file.write(f"{chunk}\n")
    return graphs(chunk)


def failing(chunk: int, last: int = 1) -> Any:
    if chunk > last:
        raise RuntimeError(f"chunk {chunk}")
    return graphs(chunk)


def build(root: Path, make: Callable[[int], Any] = graphs, **options: Any) -> Any:
    options = {"name": "graphs-v1.db", "num_chunks": 3} | options
    return ChunkedOnDiskDataset(str(root), make=make, **options)


def expected(chunks: int = 3) -> list[Data]:
    return [graph(10 * c + p, n) for c in range(chunks) for p, n in enumerate(SIZES)]


def check_same(found: Any, right: Any) -> None:
    assert len(found) == len(right)
    for one, other in zip(found, right, strict=True):
        assert [*one.to_dict()] == [*other.to_dict()]
        for name in other.to_dict():
            assert one[name].dtype == other[name].dtype
            assert torch.equal(one[name], other[name]), name


def files(root: Path) -> list[str]:
    return [path.name for path in (root / "processed").iterdir()]


def begun(root: Path) -> Path:
    return root / "processed" / ".graphs-v1.db.partial"


def chunks_of(path: Path) -> list[int]:
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    query = "SELECT number FROM chunks"
    found = connection.execute(query).fetchall() if ("chunks",) in tables else []
    connection.close()
    return [number for (number,) in found]


def test_what_is_stored_is_read(tmp_path: Path) -> None:
    dataset = build(tmp_path)
    assert str(dataset) == "ChunkedOnDiskDataset(15)"
    check_same(dataset, expected())
    check_same(
        dataset.__getitems__([14, 0, 0, -1]), [expected()[i] for i in (14, 0, 0, 14)]
    )
    assert files(tmp_path) == ["graphs-v1.db"]
    again = build(tmp_path, make=lambda chunk: pytest.fail("made again"))
    check_same(again, expected())


def test_pyg_reads_the_table_itself(tmp_path: Path) -> None:
    dataset = build(tmp_path)
    database = SQLiteDatabase(dataset.processed_paths[0], "graphs", dataset.schema)
    assert len(database) == 15
    row = database[2]
    assert torch.equal(row["edge_index"].t(), expected()[2].edge_index)
    database.close()


def test_parts_and_transforms(tmp_path: Path) -> None:
    dataset = build(tmp_path)
    part = dataset[[3, 1, 12]]
    right = [expected()[i] for i in (3, 1, 12)]
    check_same(part, right)
    # PyG reads numbers of the whole dataset here.
    check_same(part.__getitems__([2, 0]), [right[2], right[0]])
    with pytest.raises(IndexError):
        part.__getitems__([3])
    with pytest.raises(IndexError):
        dataset[15]
    dataset = build(tmp_path, transform=lambda data: data.y)
    assert dataset[4].tolist() == [4]
    assert [y.tolist() for y in dataset.__getitems__([4, 1])] == [[4], [1]]


def test_workers_store_the_same(tmp_path: Path) -> None:
    alone = build(tmp_path / "a", num_chunks=6)
    shared = build(tmp_path / "b", num_chunks=6, workers=2)
    check_same(shared, alone)
    paths = [Path(dataset.processed_paths[0]) for dataset in (alone, shared)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_results_come_in_order_and_few_are_under_way() -> None:
    started = []

    def tasks() -> Any:
        for number in range(8):
            started.append(number)
            yield 0.2 * (number == 0)

    results = in_order(time.sleep, tasks(), 2)
    next(results)
    assert len(started) == 4
    assert [*results] == [None] * 7


def test_an_interrupted_file_is_continued(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="chunk 2"):
        build(tmp_path, functools.partial(failing, last=1))
    assert files(tmp_path) == [begun(tmp_path).name]
    assert chunks_of(begun(tmp_path)) == [0, 1]
    made = []

    def rest(chunk: int) -> Any:
        made.append(chunk)
        return graphs(chunk)

    check_same(build(tmp_path, rest), expected())
    assert made == [2]
    assert not begun(tmp_path).exists()
    check_same(build(tmp_path, rest, force_reload=True), expected())
    assert made == [2, 0, 1, 2]


def test_a_new_start_forgets_what_was_begun(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        build(tmp_path, functools.partial(failing, last=0))
    begun(tmp_path).write_bytes(b"no database")
    check_same(build(tmp_path, force_reload=True), expected())


def test_killed_processes_leave_what_they_finished(tmp_path: Path) -> None:
    rng = Random(0)
    for trial in range(6):
        root = tmp_path / str(trial)
        process = SERVER.Process(
            target=build,
            args=(root, functools.partial(slowly, seconds=0.04)),
            kwargs={"num_chunks": 5},
        )
        process.start()
        process.join(rng.uniform(0.05, 0.4))
        process.kill()
        process.join()
        done = chunks_of(begun(root)) if begun(root).is_file() else []
        assert done == [*range(len(done))]
        check_same(build(root, num_chunks=5), expected(5))


def test_processes_make_a_file_once(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    work = functools.partial(slowly, notes=str(notes))
    started = [SERVER.Process(target=build, args=(tmp_path, work)) for _ in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    assert notes.read_text() == "0\n1\n2\n"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_each_process_opens_the_file_itself(tmp_path: Path) -> None:
    dataset = build(tmp_path)
    right = expected()
    check_same(dataset, right)
    check_same(pickle.loads(pickle.dumps(dataset)), right)
    first = dataset.db
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()

    def read() -> None:
        queue.put((dataset.db is first, dataset[4].x.tolist()))

    process = context.Process(target=read)
    process.start()
    process.join()
    assert queue.get() == (False, right[4].x.tolist())
    assert dataset.db is first
    dataset.close()
    check_same(dataset, right)


def test_graphs_without_features_keep_their_number_of_nodes(tmp_path: Path) -> None:
    made = [Data(u=torch.ones(1, 2), num_nodes=number) for number in (3, 0, 2)]
    dataset = build(tmp_path, lambda chunk: InMemoryDataset.collate(made), num_chunks=1)
    assert [data.num_nodes for data in dataset] == [3, 0, 2]
    assert [*dataset[0].to_dict()] == ["u", "num_nodes"]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_any_graphs(tmp_path_factory: Any, sizes: list[int], chunk: int) -> None:
    root = tmp_path_factory.mktemp("any")
    made = [graph(10 * chunk + place, size) for place, size in enumerate(sizes)]
    check_same(build(root, lambda _: InMemoryDataset.collate(made), num_chunks=1), made)


def test_chunks_may_be_empty(tmp_path: Path) -> None:
    dataset = build(tmp_path, lambda chunk: graphs(chunk) if chunk == 1 else None)
    check_same(dataset, [graph(10 + p, n) for p, n in enumerate(SIZES)])
    with pytest.raises(ValueError, match="`pre_filter` to keep a graph"):
        build(tmp_path / "none", lambda chunk: None)


def collated(**attributes: Any) -> tuple[Data, dict[str, torch.Tensor]]:
    return Data(**attributes), {name: torch.tensor([0, 1]) for name in attributes}


def refused() -> dict[str, tuple[Any, str]]:
    class Own(Data):
        pass

    y = torch.zeros(1)
    unsliced = Data(x=y, y=y), {"x": torch.tensor([0, 1])}
    return {
        "text": (collated(y=["a"]), "'y' must be a dense tensor of one.*'list'"),
        "complex": (collated(y=y.cfloat()), r"'y' must be.*not 'torch\.complex64'"),
        "sparse": (collated(y=torch.eye(2).to_sparse()), "'y' must be a dense tensor"),
        "single": (collated(y=torch.tensor(1.0)), "'y' must be a dense tensor"),
        "empty rows": (
            collated(y=torch.zeros(1, 0)),
            r"'y' has rows without.*\[1, 0\]",
        ),
        "unsliced": (unsliced, "'y' has no slices"),
        "class": ((Own(y=y), {"y": torch.tensor([0, 1])}), "must be 'Data', not 'Own'"),
        "name": (collated(**{"a b": y}), "'a b' cannot name a column"),
        "case": (collated(y=y, Y=y), "differ in more than case: y, Y"),
    }


@pytest.mark.parametrize("case", refused())
def test_what_cannot_be_stored_is_refused(tmp_path: Path, case: str) -> None:
    made, message = refused()[case]
    with pytest.raises(ValueError, match=message):
        build(tmp_path, lambda chunk: made)


def test_chunks_of_other_attributes_are_refused(tmp_path: Path) -> None:
    def changing(chunk: int) -> Any:
        return collated(y=torch.zeros(1, 1 + chunk))

    with pytest.raises(
        ValueError, match=r"expected chunk 1 to hold.*\(-1, 1\).*\(-1, 2\)"
    ):
        build(tmp_path, changing)


def test_numbers_are_checked_before_a_folder_is_made(tmp_path: Path) -> None:
    for options, message in (
        ({"num_chunks": 0}, "`num_chunks` to be at least 1, got 0"),
        ({"workers": 0}, "`workers` to be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            build(tmp_path / "root", **options)
    assert not (tmp_path / "root").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"graphs-v1\.db.*Pass a `root` that can be"):
        build(tmp_path / "file")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        on_disk_file, "BEGIN", f"{on_disk_file.BEGIN} PRAGMA max_page_count = 6;"
    )
    with pytest.raises(OSError, match=r"graphs-v1\.db.*disk is full.*free space"):
        build(tmp_path, functools.partial(graphs, sizes=(2000,) * 5))


def damaged(path: Path, change: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(change)
    connection.close()


DAMAGE = {
    "text": lambda path: path.write_bytes(b"no database" * 100),
    "nothing": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-16384]),
    "foreign": lambda path: (path.unlink(), damaged(path, "CREATE TABLE a (b)")),
    "another name": lambda path: damaged(
        path, "UPDATE about SET value = 'b' WHERE key = 'name'"
    ),
    "another layout": lambda path: damaged(
        path, "UPDATE about SET value = 9 WHERE key = 'layout'"
    ),
    "schema": lambda path: damaged(
        path, "UPDATE about SET value = '[]' WHERE key = 'schema'"
    ),
    "no schema": lambda path: damaged(path, "DELETE FROM about WHERE key = 'schema'"),
    "no count": lambda path: damaged(path, "DELETE FROM about WHERE key = 'graphs'"),
    "rows lost": lambda path: damaged(path, "DELETE FROM graphs WHERE id = 14"),
    "column": lambda path: damaged(path, "ALTER TABLE graphs RENAME COL_y TO COL_z"),
    "view": lambda path: damaged(
        path, "ALTER TABLE graphs RENAME TO a; CREATE VIEW graphs AS SELECT * FROM a"
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_named(tmp_path: Path, kind: str) -> None:
    path = Path(build(tmp_path).processed_paths[0])
    DAMAGE[kind](path)
    with pytest.raises(
        ValueError, match=r"processed/graphs-v1\.db' is dam.*; delete it"
    ):
        build(tmp_path)
    path.unlink()
    check_same(build(tmp_path), expected())


def test_what_was_begun_and_damaged_is_named(tmp_path: Path) -> None:
    begun(tmp_path).parent.mkdir()
    begun(tmp_path).write_bytes(b"no database" * 100)
    with pytest.raises(ValueError, match=r"\.graphs-v1\.db\.partial' is.*delete it"):
        build(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE graphs SET COL_x = x'00' WHERE id = 2",
        "UPDATE graphs SET COL_x = 'text' WHERE id = 2",
        "DELETE FROM graphs WHERE id = 2",
    ],
)
def test_damaged_rows_are_named(tmp_path: Path, change: str) -> None:
    dataset = build(tmp_path)
    damaged(Path(dataset.processed_paths[0]), change)
    for read in (lambda: dataset[2], lambda: dataset.__getitems__([1, 2])):
        with pytest.raises(ValueError, match=r"graphs-v1\.db' is damaged.*; delete it"):
            read()


def read_or_refuse(root: Path, path: Path) -> str:
    try:
        dataset = build(root)
        assert len([*dataset]) == 15
    except ValueError as error:
        return "refused" if str(path) in str(error) else str(error)
    dataset.close()
    return "read"


def test_mutated_files_are_refused_or_read(tmp_path: Path) -> None:
    path = Path(build(tmp_path).processed_paths[0])
    content, rng = path.read_bytes(), Random(0)
    outcomes = {"read": 0, "refused": 0}
    used = [place for place, byte in enumerate(content) if byte]
    for _ in range(200):
        changed = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            changed[rng.choice(used)] = rng.randrange(256)
        path.write_bytes(changed)
        outcomes[read_or_refuse(tmp_path, path)] += 1
    assert min(outcomes.values()) > 10
