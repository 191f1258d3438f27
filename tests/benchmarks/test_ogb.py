import gzip
import json
import math
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_relational._checks import UsageError
from pyg_relational.benchmarks import ogb, trainings
from pyg_relational.benchmarks.harness import table_summary
from pyg_relational.benchmarks.ogb import (
    BODIES,
    PUBLISHED,
    QUICK,
    READOUTS,
    SIZES,
    TOLERANCE,
    BondGCNConv,
    Case,
    MoleculeBody,
    MoleculeDataModule,
    MoleculeModel,
    Size,
    _parameters,
    build_module,
    build_readout,
    matched_width,
    spread,
)
from pyg_relational.benchmarks.trainings import begun
from pyg_relational.cli import main
from pyg_relational.loader import StoredLoader
from pyg_relational.train.module import RelationalModule

pytest.importorskip("ogb")
SMALL = Size(width=8, heads=2, layers=3, dropout=0.0)
# 33 to train on: the last of two batches has a single molecule.
PARTS = {"train": range(33), "valid": range(33, 45), "test": range(45, 57)}
NAME = "ogbg-molesol-gin-quick"


def zipped(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{row}\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()))


def write_set(folder, label):
    """Chains of 2 to 6 atoms."""
    sizes = [2 + k % 5 for k in range(57)]
    ends = [(a, a + 1) for n in sizes for a in range(n - 1)]
    atoms = [(k + a) % 7 for k, n in enumerate(sizes) for a in range(n)]
    zipped(folder / "raw/num-node-list.csv.gz", sizes)
    zipped(folder / "raw/num-edge-list.csv.gz", (n - 1 for n in sizes))
    zipped(folder / "raw/graph-label.csv.gz", map(label, sizes))
    zipped(folder / "raw/node-feat.csv.gz", (f"{a}" + ",0" * 8 for a in atoms))
    zipped(folder / "raw/edge.csv.gz", (f"{a},{b}" for a, b in ends))
    zipped(folder / "raw/edge-feat.csv.gz", ("0,0,0" for _ in ends))
    for part, index in PARTS.items():
        zipped(folder / f"split/scaffold/{part}.csv.gz", index)
    (folder / "RELEASE_v1.txt").touch()


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_set(root / "ogbg_molesol", lambda n: 0.5 * n)
    write_set(root / "ogbg_molbace", lambda n: n % 2)
    return str(root)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PYG_RELATIONAL_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs/benchmark-ogb" / NAME


def test_a_run_writes_figures_table_and_picture(sets, folder):
    figures = ogb.run(readouts=["sum", "relation"], seeds=2, root=sets, quick=True)
    assert json.loads((folder / f"{NAME}.json").read_text()) == figures
    assert (folder / f"{NAME}.png").read_bytes()[:4] == b"\x89PNG"
    assert [run["settings"]["seed"] for run in figures["runs"]] == [0, 1, 0, 1]
    assert figures["runs"][0]["test"] != figures["runs"][1]["test"]
    row = figures["rows"][1]
    tests = [run["test"] for run in figures["runs"][2:]]
    assert row["test"]["mean"] == pytest.approx(sum(tests) / 2)
    deviation = abs(tests[0] - tests[1]) / 2**0.5
    assert row["test"]["deviation"] == pytest.approx(deviation)
    shown = figures["table"]["rows"][1]
    assert shown[2] == f"{row['parameters']:,}"
    assert shown[4] == f"{row['test']['mean']:.3f} ± {deviation:.3f}"
    assert figures["command"] == (
        "pyg-relational benchmark ogb --dataset ogbg-molesol --readouts sum relation "
        "--seeds 2 --body gin --size laptop --quick"
    )
    assert "test RMSE" in table_summary(figures)
    for run in figures["runs"]:
        assert run["validation"] == min(run["curve"])
        assert run["curve"][run["best_epoch"] - 1] == run["validation"]


def test_finished_runs_are_kept(sets, folder, monkeypatch, capsys):
    first = ogb.run(readouts=["sum"], seeds=1, root=sets, quick=True)
    trained = []
    original = ogb.run_case

    def counted(case, *rest):
        trained.append(case.name)
        return original(case, *rest)

    monkeypatch.setattr(ogb, "run_case", counted)
    second = ogb.run(readouts=["mean", "sum"], seeds=2, root=sets, quick=True)
    assert trained == ["mean-seed0", "mean-seed1", "sum-seed1"]
    assert "3/4 sum-seed0 (kept): rmse validation" in capsys.readouterr().err
    assert second["runs"][2] == first["runs"][0]
    # Neither molecules nor training are needed for what is there.
    ogb.run(readouts=["mean", "sum"], seeds=2, root="nowhere", quick=True)
    assert len(trained) == 3


@pytest.mark.parametrize("content", ["{", '{"settings": {"size": "another"}}'])
def test_damaged_or_other_runs_are_done_again(sets, folder, content):
    first = ogb.run(readouts=["sum"], seeds=1, root=sets, quick=True)
    (folder / "sum-seed0.json").write_text(content)
    again = ogb.run(readouts=["sum"], seeds=1, root=sets, quick=True)
    assert again["runs"][0]["curve"] == first["runs"][0]["curve"]


class Killed(Exception):
    pass


@pytest.fixture
def killed(monkeypatch):
    """Ends training in the middle of its third epoch."""
    original, batches = RelationalModule.training_step, []

    def step(self, batch):
        batches.append(batch)
        if len(batches) == 3:
            raise Killed
        return original(self, batch)

    return lambda: monkeypatch.setattr(RelationalModule, "training_step", step)


def test_a_killed_run_goes_on_and_ends_the_same(sets, folder, killed, monkeypatch):
    options = {"readouts": ["sum"], "seeds": 1, "root": sets, "quick": True}
    options["epochs"] = 4
    whole = ogb.run(**options)["runs"][0]
    folder = folder.with_name("ogbg-molesol-gin-quick-4epochs")
    (folder / "sum-seed0.json").unlink()
    killed()
    with pytest.raises(Killed):
        ogb.run(**options)
    assert (folder / "sum-seed0/checkpoints/last.ckpt").is_file()
    monkeypatch.undo()
    monkeypatch.chdir(folder.parents[2])
    epochs = []
    original = RelationalModule.on_validation_epoch_end

    def note(self):
        epochs.append(self.current_epoch)
        original(self)

    monkeypatch.setattr(RelationalModule, "on_validation_epoch_end", note)
    resumed = ogb.run(**options)["runs"][0]
    assert epochs == [2, 3]
    for key in ("curve", "test", "validation", "best_epoch"):
        assert resumed[key] == whole[key]
    assert not (folder / "sum-seed0").exists()


def test_checkpoints_of_other_settings_are_not_continued(tmp_path):
    folder, settings = tmp_path / "a", {"seed": 0}
    assert not begun(folder, settings)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/last.ckpt").touch()
    # Without the best one there would be nothing to test in the end.
    assert not begun(folder, settings)
    (folder / "checkpoints/best.ckpt").touch()
    assert begun(folder, settings)
    assert not begun(folder, {"seed": 1})
    assert not (folder / "checkpoints").exists()


def test_damaged_checkpoints_are_refused(sets, folder, monkeypatch, capsys):
    options = {"readouts": ["sum"], "seeds": 1, "root": sets, "quick": True}
    with monkeypatch.context() as patch:
        patch.setattr(trainings.shutil, "rmtree", lambda *args, **kwargs: None)
        whole = ogb.run(**options)["runs"][0]
    (folder / "sum-seed0.json").unlink()
    checkpoints = folder / "sum-seed0/checkpoints"
    for name in ("last.ckpt", "best.ckpt"):
        content = (checkpoints / name).read_bytes()
        (checkpoints / name).write_bytes(content[:-100])
        with pytest.raises(UsageError, match=f"{name}' is damaged .*; delete it, and"):
            ogb.run(**options)
        torch.save(Path("a"), checkpoints / name)
        with pytest.raises(UsageError, match="more than tensors and plain values"):
            ogb.run(**options)
        (checkpoints / name).write_bytes(content)
    (checkpoints / "best.ckpt").unlink()
    assert ogb.run(**options)["runs"][0]["curve"] == whole["curve"]


def test_classes_are_scored_by_area(sets):
    figures = ogb.run("ogbg-molbace", ["mean"], 1, "gcn", root=sets, quick=True)
    assert figures["metric"] == "rocauc"
    (row,) = figures["table"]["rows"]
    score = figures["runs"][0]["test"]
    assert 0 <= score <= 1
    assert row[4] == f"{100 * score:.2f}"
    assert figures["runs"][0]["validation"] == max(figures["runs"][0]["curve"])


def test_the_score_is_that_of_the_best_epoch(sets, monkeypatch):
    """The second epoch makes the model worse: the weights of the first are tested."""
    original = RelationalModule.on_validation_epoch_end
    seen = []

    def spoil(self):
        original(self)
        seen.append([p.detach().clone() for p in self.parameters()])
        with torch.no_grad():
            self.model.head.bias += 100

    tested = []
    monkeypatch.setattr(RelationalModule, "on_validation_epoch_end", spoil)
    monkeypatch.setattr(
        RelationalModule,
        "on_test_epoch_start",
        lambda self: tested.extend(p.detach().clone() for p in self.parameters()),
        raising=False,
    )
    (run,) = ogb.run(readouts=["sum"], seeds=1, root=sets, quick=True)["runs"]
    assert run["best_epoch"] == 1
    # All but the spoilt bias, which was spoilt before it was saved.
    equal = [torch.equal(a, b) for a, b in zip(seen[0], tested, strict=True)]
    assert equal.count(False) <= 1
    assert not all(torch.equal(a, b) for a, b in zip(seen[1], tested, strict=True))


def test_no_batch_is_a_single_molecule(sets):
    data = ogb.load_data("ogbg-molesol", sets, 32)
    assert [batch.num_graphs for batch in data.train_dataloader()] == [32]
    assert sum(batch.num_graphs for batch in data.val_dataloader()) == 12
    whole = MoleculeDataModule(data.dataset_class, sets, data.args, 31)
    assert [batch.num_graphs for batch in whole.train_dataloader()] == [31, 2]
    assert isinstance(whole.train_loader(), StoredLoader)


def test_molhiv_is_rebuilt_only_without_its_official_folder(sets, monkeypatch):
    made = []
    monkeypatch.setattr(MoleculeDataModule, "setup", lambda self: made.append(self))
    ogb.load_data("ogbg-molhiv", "nowhere", 32)
    (Path("here") / "ogbg_molhiv").mkdir(parents=True)
    ogb.load_data("ogbg-molhiv", "here", 32)
    names = [(data.dataset_class.__name__, data.root) for data in made]
    assert names == [("MolHIV", "nowhere/molhiv"), ("OGBMolecules", "here")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "ogbg-molesl"}, "unknown dataset 'ogbg-molesl'; did you mean 'og"),
        ({"readouts": ["sum", "relations"]}, "'relations'; did you mean 'relation'"),
        ({"readouts": ["sums"]}, "Known: mean, mlp-sum, relation, relation-attention"),
        ({"seeds": 0}, "expected --seeds of at least 1, got 0"),
        ({"threads": 0}, "expected --threads of at least 1, got 0"),
        ({"epochs": 0}, "expected --epochs of at least 1, got 0"),
    ],
)
def test_requests_that_cannot_be_met(options, message):
    with pytest.raises(UsageError, match=message):
        ogb.run(**options)
    assert not Path("runs").exists()


def test_the_command_line(sets, folder, capsys):
    arguments = ["benchmark", "ogb", "--quick", "--root", sets, "--seeds", "1"]
    assert main([*arguments, "--readouts", "sum", "mlp-sum", "--output", "a.json"]) == 0
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines() if ": " in line][-2:-1]
    assert "mlp-sum: control" in out
    assert "2/2 mlp-sum-seed0: rmse" in err
    assert json.loads(Path("a.json").read_text())["rows"][1]["readout"] == "mlp-sum"
    assert main([*arguments, "--readouts", "sums"]) == 2
    assert "unknown readout 'sums'; did you mean 'sum'" in capsys.readouterr().err


def test_a_damaged_folder_is_one_line_on_the_command_line(tmp_path, capsys):
    write_set(tmp_path / "sets/ogbg_molesol", float)
    path = tmp_path / "sets/ogbg_molesol/raw/edge.csv.gz"
    path.write_bytes(path.read_bytes()[:20])
    arguments = ["benchmark", "ogb", "--quick", "--root", str(tmp_path / "sets")]
    assert main([*arguments, "--readouts", "sum"]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "pyg-rel" in x]
    assert f"'{path}' is damaged" in line


def test_spread_needs_two_seeds():
    assert spread({"mean": 0.5, "deviation": None}, 100, 2) == "50.00"
    assert spread({"mean": 0.5, "deviation": 0.01}, 100, 2) == "50.00 ± 1.00"


def test_published_figures_stand_beside_those_they_belong_to():
    row = {"readout": "mean", "channels": 300, "parameters": 1, "seeds": 1}
    row |= {k: {"mean": 1.0, "deviation": None} for k in ("validation", "test")}
    other = row | {"readout": "sum"}
    made = ogb.table("ogbg-molesol", "gin", QUICK, [row, other], "rmse", "note")
    assert [line[-1] for line in made["rows"]] == ["1.173 (m)", "-"]
    assert "quoted from memory" in made["caption"]
    made = ogb.table("ogbg-molbace", "gin", QUICK, [row], "rocauc", "note")
    assert "Published" not in made["caption"]


def test_settings_tell_runs_apart():
    case = Case("ogbg-molesol", "gin", "sum", 0, QUICK)
    settings = case.settings
    assert json.loads(json.dumps(settings)) == settings
    assert settings["size"]["width"] == 32


def molecule(nodes, seed):
    """A ring with a chord, or a single atom."""
    generator = torch.Generator().manual_seed(seed)
    pairs = [(i, (i + 1) % nodes) for i in range(nodes)] if nodes > 2 else []
    pairs += [(0, 2)] if nodes > 4 else []
    ends = [end for a, b in pairs for end in ((a, b), (b, a))]
    edge_index = torch.tensor(ends, dtype=torch.long).reshape(-1, 2).t().contiguous()
    x = torch.randint(0, 2, (nodes, 9), generator=generator)
    edge_attr = torch.randint(0, 2, (edge_index.size(1), 3), generator=generator)
    y = torch.randn(1, 1, generator=generator)
    return Data(x=x, edge_index=edge_index, edge_attr=edge_attr, y=y)


MOLECULES = [molecule(5, 0), molecule(1, 1), molecule(7, 2), molecule(3, 3)]


def answers(model, molecules):
    batch = Batch.from_data_list(molecules)
    return model(
        batch.x, batch.edge_index, batch.edge_attr, batch.batch, len(molecules)
    )


def build(readout, body="gin", seed=0):
    torch.manual_seed(seed)
    model = MoleculeModel(body, readout, 8, 2, SMALL)
    for parameter in model.parameters():
        # Biases and the virtual node start at zero, where much is invisible.
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double()


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("readout", READOUTS)
def test_molecules_do_not_depend_on_each_other_or_on_their_order(readout, body):
    model = build(readout, body, seed=1).eval()
    together = answers(model, MOLECULES)
    for number, alone in enumerate(MOLECULES):
        torch.testing.assert_close(
            together[number : number + 1], answers(model, [alone])
        )
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    place = order.argsort()
    shuffled = MOLECULES[2].clone()
    shuffled.x, shuffled.edge_index = shuffled.x[order], place[shuffled.edge_index]
    torch.testing.assert_close(answers(model, [shuffled]), together[2:3])
    # It does depend on the atoms and on the bonds.
    for key in ("x", "edge_attr"):
        other = MOLECULES[2].clone()
        other[key] = 1 - other[key]
        assert (answers(model, [other]) - together[2:3]).abs().max() > 1e-6


@pytest.mark.parametrize("readout", READOUTS)
def test_every_parameter_learns(readout):
    idle = set(READOUTS)
    for seed in range(4):
        model = build(readout, seed=seed)
        answers(model, MOLECULES[:1] + MOLECULES[2:]).square().sum().backward()
        still = {
            name
            for name, p in model.named_parameters()
            if p.grad is None or not p.grad.isfinite().all() or (p.grad == 0).all()
        }
        idle = still if seed == 0 else idle & still
    # PyG's decoder attends to the one vector that is left.
    alone = ("decoders.0.mab.attn.in_proj",)
    assert [name for name in sorted(idle) if not name.startswith(alone)] == []


def test_the_relation_without_a_partner_is_the_control():
    torch.manual_seed(0)
    relation = build_readout("relation", 4, 1).double()
    control = build_readout("mlp-sum", 4, 1).double()
    nn, mlp = relation.relation.nn, control.local_mlp
    with torch.no_grad():
        nn.lin_l.weight.zero_()
        for ours, theirs in zip([nn.lin_r, *nn.lins], mlp.lins, strict=True):
            ours.weight.copy_(theirs.weight)
            ours.bias.copy_(theirs.bias)
    x = torch.randn(7, 4).double()
    index = torch.tensor([0, 0, 0, 1, 3, 3, 3])
    expected = control(x, index=index, dim_size=5)
    assert expected[0].abs().min() > 0
    out = relation(x, index=index, dim_size=5)
    torch.testing.assert_close(out, expected)


def test_pairs_and_the_control_differ_in_the_pairs_alone():
    def shapes(readout):
        model = MoleculeModel("gin", readout, 8, 2, SMALL)
        return [tuple(p.shape) for p in (*model.readout.parameters(),
                                         *model.head.parameters())]  # fmt: skip

    relation, control = shapes("relation"), shapes("mlp-sum")
    # The first layer of the relation reads two nodes.
    assert sorted(relation) == sorted([*control, (8, 8)])


def test_the_convolution_is_the_sum_over_neighbours():
    torch.manual_seed(0)
    data = MOLECULES[0]
    conv = BondGCNConv(4).double()
    x, bonds = torch.randn(5, 4).double(), torch.randn(12, 4).double()
    out = conv(x, data.edge_index, bonds)
    source, target = data.edge_index.tolist()
    h = conv.lin(x)
    for i in range(5):
        own = 1 + target.count(i)
        expected = (h[i] + conv.root).relu() / own
        for e, (j, k) in enumerate(zip(source, target, strict=True)):
            if k == i:
                other = 1 + target.count(j)
                expected = expected + (h[j] + bonds[e]).relu() / math.sqrt(own * other)
        torch.testing.assert_close(out[i], expected)


def test_the_virtual_node_reaches_every_atom():
    """Two molecules in one graph: only the virtual node joins them."""
    pair = Batch.from_data_list([MOLECULES[0], MOLECULES[2]])
    joined = Data(x=pair.x, edge_index=pair.edge_index, edge_attr=pair.edge_attr)
    changed = joined.clone()
    changed.x = changed.x.clone()
    changed.x[5:] = 1 - changed.x[5:]
    for virtual in (False, True):
        torch.manual_seed(0)
        body = MoleculeBody("gin", 8, 2, 0.0, virtual).double().eval()
        rows = [
            body(d.x, d.edge_index, d.edge_attr, torch.zeros(12, dtype=torch.long), 1)
            for d in (joined, changed)
        ]
        assert ((rows[0] - rows[1])[:5].abs().max() > 1e-6) == virtual


def test_the_last_layer_is_followed_by_dropout_alone():
    torch.manual_seed(0)
    body = MoleculeBody("gin", 8, 2, 0.5)
    data = Batch.from_data_list(MOLECULES)
    out = body(data.x, data.edge_index, data.edge_attr, data.batch, 4)
    assert (out < 0).any()
    assert 0.3 < (out == 0).float().mean() < 0.7


@pytest.mark.parametrize("size", ["laptop", "paper", "quick"])
@pytest.mark.parametrize("body", BODIES)
def test_parameters_are_equally_many(body, size):
    chosen = QUICK if size == "quick" else SIZES[size]
    reference = _parameters(body, "sum", chosen.width, 1, chosen)
    assert matched_width(body, "sum", 1, chosen) == chosen.width
    for readout in READOUTS:
        width = matched_width(body, readout, 1, chosen)
        count = _parameters(body, readout, width, 1, chosen)
        assert abs(count - reference) <= TOLERANCE * reference
        if readout != "mean":
            assert width == chosen.width if readout == "sum" else width < chosen.width


def test_a_width_that_does_not_come_near_is_an_error():
    with pytest.raises(
        RuntimeError, match="No width gives 'set-transformer' within 5%"
    ):
        matched_width("gin", "set-transformer", 1, Size(width=16, heads=4, layers=2))


def test_missing_labels_are_left_out_of_loss_and_score():
    model = build("sum").float()
    batch = Batch.from_data_list(MOLECULES)
    batch.y = torch.tensor([[1.0, 2.0], [math.nan, 0.0], [3.0, math.nan], [0.0, 1.0]])
    module = build_module(model, "ogbg-molesol", "regression", "rmse", 1e-3)
    module.log = lambda *args, **kwargs: None
    out = answers(model, MOLECULES)
    known = [(0, 0), (0, 1), (1, 1), (2, 0), (3, 0), (3, 1)]
    wrong = torch.stack([out[i, j] - batch.y[i, j] for i, j in known])
    loss = module.training_step(batch)
    torch.testing.assert_close(loss, wrong.square().mean())
    kind = "binary classification"
    classes = build_module(model, "ogbg-molbace", kind, "rocauc", 1)
    classes.log = module.log
    batch.y = (batch.y > 0.5).long()
    expected = torch.nn.BCEWithLogitsLoss()(out, batch.y.float())
    torch.testing.assert_close(classes.training_step(batch), expected)
    assert (module.task.mode, classes.task.mode) == ("min", "max")


def test_published_figures_are_of_known_cases():
    for (dataset, body, readout), figure in PUBLISHED.items():
        assert dataset.startswith("ogbg-mol")
        assert body in BODIES
        assert readout in READOUTS
        # Percent for shares.
        assert (figure.mean > 50) == (dataset == "ogbg-molhiv")
