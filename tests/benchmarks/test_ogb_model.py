import math

import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_relational.benchmarks.ogb import (
    BODIES,
    PUBLISHED,
    QUICK,
    READOUTS,
    SIZES,
    TOLERANCE,
    BondGCNConv,
    MoleculeBody,
    MoleculeModel,
    MoleculeModule,
    Size,
    _parameters,
    build_readout,
    matched_width,
)

pytest.importorskip("ogb")
SMALL = Size(width=8, heads=2, layers=3, dropout=0.0)


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
    module = MoleculeModule(model, "ogbg-molesol", "regression", "rmse", 1e-3)
    module.log = lambda *args, **kwargs: None
    out = answers(model, MOLECULES)
    known = [(0, 0), (0, 1), (1, 1), (2, 0), (3, 0), (3, 1)]
    wrong = torch.stack([out[i, j] - batch.y[i, j] for i, j in known])
    loss = module.training_step(batch)
    torch.testing.assert_close(loss, wrong.square().mean())
    classes = MoleculeModule(
        model, "ogbg-molbace", "binary classification", "rocauc", 1
    )
    classes.log = module.log
    batch.y = (batch.y > 0.5).long()
    expected = torch.nn.BCEWithLogitsLoss()(out, batch.y.float())
    torch.testing.assert_close(classes.training_step(batch), expected)
    assert (module.mode, classes.mode) == ("min", "max")


def test_published_figures_are_of_known_cases():
    for (dataset, body, readout), figure in PUBLISHED.items():
        assert dataset.startswith("ogbg-mol")
        assert body in BODIES
        assert readout in READOUTS
        # Percent for shares.
        assert (figure.mean > 50) == (dataset == "ogbg-molhiv")
