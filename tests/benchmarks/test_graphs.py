import json
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks import graphs
from pyg_relational.benchmarks.graphs import (
    KIND,
    MODELS,
    QUICK,
    SIZES,
    TASKS,
    Budget,
    Case,
    RepeatedGIN,
    build_model,
    even_weights,
    judge,
    judge_answers,
    step_range,
    steps_for,
)
from pyg_relational.benchmarks.harness import table_summary
from pyg_relational.cli import main
from pyg_relational.datasets import GraphTasks
from pyg_relational.loader import StoredLoader
from pyg_relational.nn.checks import NotFiniteError
from pyg_relational.ops import fully_connected_edges
from pyg_relational.train.module import RelationalModule

TASK, MODEL = "shortest-path", "recurrent"
ONE = {"tasks": [TASK], "models": [MODEL], "sizes": ["16-32"], "quick": True}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return str(tmp_path_factory.mktemp("graphs"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs/benchmark-graphs/graphs-quick"


@pytest.mark.parametrize("task", TASKS)
def test_a_run_writes_figures_table_and_picture(root, folder, task):
    options = {**ONE, "tasks": [task], "models": None, "sizes": ["64", "16-32"]}
    figures = graphs.run(root=root, **options)
    name = f"graphs-{task}-quick"
    assert json.loads((folder / f"{name}.json").read_text()) == figures
    assert (folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert [row["model"] for row in figures["rows"]] == list(MODELS)
    assert figures["command"] == (
        f"pyg-relational benchmark graphs --tasks {task} --models relation recurrent "
        "graph-network gin --sizes 16-32 64 --seeds 1 --quick"
    )
    assert figures["table"]["columns"][3:] == ["16-32", "64"]
    for row, cells in zip(figures["rows"], figures["table"]["rows"], strict=True):
        tested = row["test"]["16-32"]
        assert tested["graphs"] == 20
        assert tested["steps"] == steps_for(task, row["model"], 32)
        solved, right = (100 * tested[key]["mean"] for key in ("solved", "right"))
        assert cells[3] == f"{solved:.1f} ({right:.1f})"
        assert 0 <= solved <= right <= 100
    assert TASKS[task].title in table_summary(figures)
    for run in figures["runs"]:
        losses = [point["loss"] for point in run["curve"]]
        assert losses[run["best_epoch"] - 1] == run["validation"]["loss"] == min(losses)


def test_rows_are_over_seeds(root):
    figures = graphs.run(root=root, seeds=2, **ONE)
    (row,) = figures["rows"]
    first, second = (run["test"]["16-32"]["right"] for run in figures["runs"])
    assert first != second
    right = row["test"]["16-32"]["right"]
    assert right["mean"] == pytest.approx((first + second) / 2)
    assert right["deviation"] == pytest.approx(abs(first - second) / 2**0.5)
    assert " ± " in figures["table"]["rows"][0][3]


def test_finished_runs_are_kept(root, folder, monkeypatch, capsys):
    first = graphs.run(root=root, **ONE)
    monkeypatch.setattr(graphs, "run_case", lambda *_: pytest.fail("again"))
    second = graphs.run(root="nowhere", **ONE)
    assert second["runs"] == first["runs"]
    assert "1/1 shortest-path-recurrent-seed0 (kept): solved" in capsys.readouterr().err
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("content", ["{", '{"settings": {"seed": 7}}'])
def test_damaged_or_other_runs_are_done_again(root, folder, content):
    first = graphs.run(root=root, **ONE)
    (folder / f"{TASK}-{MODEL}-seed0.json").write_text(content)
    again = graphs.run(root=root, **ONE)
    assert again["runs"][0]["curve"] == first["runs"][0]["curve"]
    assert (
        again["runs"][0]["test"]["16-32"]["right"]
        == first["runs"][0]["test"]["16-32"]["right"]
    )


def test_a_killed_run_goes_on_and_ends_the_same(root, folder, monkeypatch):
    options = {**ONE, "epochs": 4}
    whole = graphs.run(root=root, **options)["runs"][0]
    folder = folder.with_name("graphs-quick-4epochs")
    name = f"{TASK}-{MODEL}-seed0"
    (folder / f"{name}.json").unlink()
    original, batches = RelationalModule.training_step, []

    def step(self, batch):
        batches.append(batch)
        if len(batches) == 6:
            raise RuntimeError("killed")
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(RelationalModule, "training_step", step)
        with pytest.raises(RuntimeError, match="killed"):
            graphs.run(root=root, **options)
    assert (folder / name / "checkpoints/last.ckpt").is_file()
    steps = []
    monkeypatch.setattr(
        RelationalModule,
        "training_step",
        lambda self, batch: steps.append(1) or original(self, batch),
    )
    path = folder / name / "checkpoints/last.ckpt"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(UsageError, match=r"is damaged .*; delete it, and"):
        graphs.run(root=root, **options)
    path.write_bytes(content)
    resumed = graphs.run(root=root, **options)["runs"][0]
    # Two whole epochs of two batches each were there.
    assert len(steps) == 4
    assert resumed["curve"] == whole["curve"]
    assert resumed["test"]["16-32"]["right"] == whole["test"]["16-32"]["right"]
    assert not (folder / name).exists()


def test_figures_are_recorded_where_asked(root, tmp_path):
    graphs.run(root=root, record=True, **ONE)
    names = {path.name for path in (tmp_path / "examples/results").iterdir()}
    name = f"graphs-{TASK}-quick"
    assert names == {f"{name}.json", f"{name}.png"}


def sorted_batch():
    """Numbers in two sets, of 3 and 2, with the row of the number before each."""
    sets = [([0.5, 0.9, 0.1], [2, 0, 2]), ([0.2, 0.4], [0, 0])]
    return Batch.from_data_list(
        [Data(x=torch.tensor(x)[:, None], y=torch.tensor(y)) for x, y in sets]
    )


def test_numbers_are_judged_by_their_choice_among_all():
    batch = sorted_batch()
    source, target = fully_connected_edges(ptr=batch.ptr)
    chosen = batch.y + batch.ptr[batch.batch]
    scores = (source == chosen[target]).double()[:, None, None]
    judged = judge("sorting", scores, batch)
    assert judged.right.all()
    assert judged.solved.tolist() == [True, True]
    # One number chooses another; and one cannot decide.
    scores[1] = 2
    judged = judge("sorting", scores, batch)
    assert judged.right.tolist() == [False, True, True, True, True]
    assert judged.solved.tolist() == [False, True]
    scores[1] = 1
    assert judge("sorting", scores, batch).right.tolist()[0] is False


def test_the_loss_of_a_choice_is_its_cross_entropy():
    batch = sorted_batch()
    out = torch.randn(9 + 4, 2, 1, dtype=torch.double) * 100
    expected, begin = [], 0
    for i, choice in enumerate(batch.y.tolist()):
        size = 3 if i < 3 else 2
        rows = out[begin : begin + size, :, 0]
        expected.append(-rows.log_softmax(dim=0)[choice])
        begin += size
    task = KIND["pointer"]
    value = task.loss(task.read(out, batch), batch.y)
    torch.testing.assert_close(value, torch.stack(expected).mean())


@pytest.mark.parametrize("task", ["shortest-path", "breadth-first-search"])
def test_a_graph_is_solved_if_every_answer_is_right(root, task):
    batch = Batch.from_data_list(list(GraphTasks(root, task, "val", num_val=6)))
    out = torch.nn.functional.one_hot(batch.y, TASKS[task].out_channels).double()
    assert judge(task, out, batch).solved.all()
    edges = task != "shortest-path"
    owner = batch.batch[batch.edge_index[0]] if edges else batch.batch
    place = int((owner == 4).nonzero()[0])
    out[place] = out[place].flip(0) if batch.y[place] != 1 or not edges else 1 - out[0]
    out[place, batch.y[place]] = -1
    judged = judge(task, out, batch)
    assert judged.solved.tolist() == [s != 4 for s in range(6)]
    assert int((~judged.right).sum()) == 1
    twice = out[:, None].expand(-1, 2, -1)
    value = KIND[TASKS[task].output].loss(twice, batch.y)
    torch.testing.assert_close(
        value, torch.nn.functional.cross_entropy(out, batch.y), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("output", ["node", "edge"])
def test_gin_repeats_one_layer(output):
    torch.manual_seed(0)
    model = RepeatedGIN(3, 2, 4, output).double()
    x = torch.randn(5, 3).double()
    edges = torch.tensor([[0, 1, 2, 4], [1, 2, 1, 4]])
    batch = torch.tensor([0, 0, 0, 1, 1])
    conv, z = model.gin.convs[0], model.encoder(x)
    h, answers = torch.zeros_like(z), []
    for _ in range(3):
        p = torch.cat([z, h], dim=1)
        rows = []
        for i in range(5):
            heard = sum((p[j] for j, end in edges.t().tolist() if end == i), 0 * p[i])
            rows.append(conv.nn(((1 + conv.eps) * p[i] + heard)[None])[0])
        h = model.norm(torch.stack(rows)).relu()
        if output == "node":
            answers.append(model.head(h))
        else:
            ends = [torch.cat([h[i], h[j]]) for j, i in edges.t().tolist()]
            answers.append(model.head(torch.stack(ends)))
    out = model(x, edges, batch=batch, steps=3, last=2)
    expected = torch.stack(answers[1:], dim=1)
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    every = model(x, batch=batch, steps=3, last=2)
    pairs = fully_connected_edges(ptr=torch.tensor([0, 3, 5]))
    assert torch.equal(every, model(x, pairs, batch=batch, steps=3, last=2))


@pytest.mark.parametrize("model", MODELS)
def test_only_the_one_step_model_is_blind_beyond_its_neighbours(model):
    torch.manual_seed(0)
    network = build_model(TASK, model, 8).double()
    nodes = torch.arange(5)
    line = torch.stack([nodes, nodes + 1])
    x, batch = torch.zeros(6, 2).double(), torch.zeros(6, dtype=torch.long)
    steps = steps_for(TASK, model, 16)
    out = network(x, line, batch=batch, steps=steps, last=1)
    x[0, 0] = 1
    changed = network(x, line, batch=batch, steps=steps, last=1) - out
    seen = (changed.abs().amax(dim=(1, 2)) > 0).tolist()
    assert seen == [True, True] + 4 * [model != "relation"]


@pytest.mark.parametrize("model", ["recurrent", "graph-network", "gin"])
@pytest.mark.parametrize("task", [name for name in TASKS if name != "sorting"])
def test_there_are_steps_enough_for_what_has_to_be_related(tmp_path, task, model):
    """A path is walked forth and back; other tasks need one way."""
    ways = 2 if task == TASK else 1
    for low, high in ((8, 16), (16, 32), (128, 128)):
        number = 100 if high < 100 else 10
        dataset = GraphTasks(str(tmp_path), task, "test", (low, high), num_test=number)
        assert ways * dataset._data.length.max() <= steps_for(task, model, high)


def test_steps_depend_on_the_number_of_nodes_alone():
    assert [steps_for(TASK, MODEL, n) for n in (16, 32, 64, 1000)] == [24, 34, 48, 190]
    assert {steps_for("sorting", MODEL, n) for n in (16, 1000)} == {4}
    assert {steps_for(t, "relation", n) for t in TASKS for n in (16, 1000)} == {1}
    assert step_range(TASK, MODEL) == (16, 28)
    assert step_range("sorting", MODEL) == (3, 4)
    assert step_range(TASK, "relation") == (1, 1)


def test_larger_graphs_do_not_choose_the_epoch(root, folder):
    """The weights of the epoch with the lowest loss in validation are tested."""
    case = Case(TASK, MODEL, 0, QUICK, ("16-32",))
    data = graphs.load_data(TASK, root, QUICK)
    assert {len(data.dataset(s)) for s in ("train", "val")} == {64, 32}
    assert max(graph.num_nodes for graph in data.dataset("val")) <= 16
    assert "test" not in data.datasets
    figures = graphs.run_case(case, data, folder, root)
    assert json.loads(json.dumps(case.settings)) == figures["settings"] == case.settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["sort"]}, "unknown task 'sort'; did you mean 'sorting'"),
        (
            {"models": ["recurent"]},
            "unknown model 'recurent'; did you mean 'recurrent'",
        ),
        ({"sizes": ["17"]}, "unknown size '17'; .*Known: 1000, 128, 16-32"),
        ({"seeds": 0}, "expected --seeds of at least 1, got 0"),
        ({"threads": 0}, "expected --threads of at least 1, got 0"),
        ({"epochs": 0}, "expected --epochs of at least 1, got 0"),
    ],
)
def test_requests_that_cannot_be_met(options, message):
    with pytest.raises(UsageError, match=message):
        graphs.run(**options)
    assert not Path("runs").exists()


def test_the_command_line(root, capsys):
    words = ["benchmark", "graphs", "--quick", "--root", root, "--tasks", "sorting"]
    words += ["--sizes", "16-32", "--models", "relation"]
    assert main([*words, "--output", "a.json"]) == 0
    out, err = capsys.readouterr()
    assert "sorting: one-step relation network" in out
    assert "1/1 sorting-relation-seed0: solved in validation" in err
    assert json.loads(Path("a.json").read_text())["rows"][0]["task"] == "sorting"
    assert main([*words[:-1], "relations"]) == 2
    assert "unknown model 'relations'" in capsys.readouterr().err


def test_long_ways_are_trained_as_often_as_short_ones():
    length = torch.tensor([2] * 900 + [3] * 90 + [7] * 9 + [9])
    weights = even_weights(length)
    total = {n: float(weights[length == n].sum()) for n in (2, 3, 7, 9)}
    # A single graph of 1,000 counts as if it were one of five.
    expected = {2: 1000, 3: 1000, 7: 1000, 9: 200}
    assert total == pytest.approx(expected, rel=1e-5)


def test_training_draws_even_lengths_and_validation_does_not(root):
    data = graphs.load_data(TASK, root, QUICK)
    assert isinstance(data.train_loader(), StoredLoader)
    drawn = [torch.cat([b.length for b in data.train_dataloader()]) for _ in range(60)]
    natural = torch.cat([graph.length for graph in data.dataset("train")])
    share = torch.cat(drawn).bincount() / torch.cat(drawn).numel()
    known = natural.unique()
    assert (share[known] - 1 / len(known)).abs().max() < 0.03
    order = torch.cat([batch.length for batch in data.val_dataloader()])
    assert torch.equal(order, data.dataset("val")._data.length)


def test_budgets():
    assert list(SIZES) == ["16-32", "64", "128", "256", "512", "1000"]
    assert Budget().epochs * Budget().graphs // Budget().batch_size == 1600


def test_a_graph_whose_states_overflow_is_not_solved(root):
    graphs = list(GraphTasks(root, TASK, "val", num_val=3))
    graphs[1].x = graphs[1].x + 0.5  # known by its start

    def answer(x, edge_index, batch):
        if (x == 0.5).any():
            raise NotFiniteError("'x' must be finite (got NaN or infinity in 1 row)")
        return torch.nn.functional.one_hot(known[len(batch)], 2).float().unsqueeze(1)

    batch = Batch.from_data_list(graphs)
    known = {data.num_nodes: data.y for data in (*graphs, batch)}
    judged = judge_answers(TASK, answer, batch)
    assert judged.solved.tolist() == [True, False, True]
    sizes = [graph.num_nodes for graph in graphs]
    rows = [rows.tolist() for rows in judged.right.split(sizes)]
    assert rows == [[True] * sizes[0], [False] * sizes[1], [True] * sizes[2]]

    def fail(x, edge_index, batch):
        raise ValueError("another mistake")

    with pytest.raises(ValueError, match="another mistake"):
        judge_answers(TASK, fail, batch)
