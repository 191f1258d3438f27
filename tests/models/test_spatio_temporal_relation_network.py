"""The relation network in space and time, on ragged temporal graphs."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from pyg_relational.data import TemporalGraph
from pyg_relational.models import SpatioTemporalRelationNetwork
from pyg_relational.nn.checks import forward_arguments

SIZES = ((3, 4), (1, 7), (5, 2), (4, 5))
model = partial(
    SpatioTemporalRelationNetwork,
    in_channels=4,
    out_channels=2,
    hidden_channels=6,
    relation_channels=[6],
    readout_channels=[5],
)
MODELS = {
    "set": partial(model),
    "set-last": partial(model, readout="last", bidirectional=True),
    "node": partial(model, output="node", num_layers=2, cell="lstm"),
    "pair": partial(model, output="pair"),
    "forecast": partial(model, output="forecast", horizon=3),
    "forecast-motion": partial(model, output="forecast", horizon=3, motion_dim=2),
}


def build(name: str, **kwargs: object) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name](**kwargs).double().eval()


def graph(n: int, t: int, seed: int = 0, timed: bool = False) -> TemporalGraph:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(n, t, generator=generator) < 0.7
    x = torch.randn(n, t, 4, generator=generator, dtype=torch.float64)
    pairs = torch.combinations(torch.arange(n)).t().view(2, -1)
    edges = {}
    if timed:
        pair, edges["edge_time"] = mask[pairs].all(dim=0).nonzero(as_tuple=True)
        edges["edge_index"] = pairs[:, pair]
    x[~mask] = torch.nan
    return TemporalGraph(x, mask, edge_label_index=pairs, **edges)


def run(module: nn.Module, data: TemporalGraph) -> Tensor:
    return module(**forward_arguments(module, data))


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_ragged_batch_equals_its_graphs_one_by_one(name: str, timed: bool) -> None:
    graphs = [graph(n, t, seed, timed) for seed, (n, t) in enumerate(SIZES)]
    module = build(name)
    joint = run(module, next(iter(DataLoader(graphs, batch_size=len(graphs)))))
    joint.square().sum().backward()
    expected = {k: p.grad.clone() for k, p in module.named_parameters()}
    module.zero_grad()
    alone = [run(module, Batch.from_data_list([g])) for g in graphs]
    for out in alone:
        out.square().sum().backward()
    torch.testing.assert_close(joint, torch.cat(alone), rtol=1e-9, atol=1e-9)
    for key, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_permuting_nodes_permutes_the_result(name: str) -> None:
    data, module = graph(5, 6, seed=3), build(name)
    order = torch.tensor([3, 0, 4, 1, 2])
    place = order.argsort()
    moved = TemporalGraph(
        data.x[order], data.mask[order], edge_label_index=place[data.edge_label_index]
    )
    out, expected = run(module, moved), run(module, data)
    if name not in ("set", "set-last", "pair"):
        expected = expected[order]
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(run(module, graph(5, 6, seed=4)), expected)


def test_permuting_graphs_permutes_the_result() -> None:
    graphs = [graph(n, t, seed) for seed, (n, t) in enumerate(SIZES)]
    module = build("set")
    out = run(module, Batch.from_data_list(graphs))
    turned = run(module, Batch.from_data_list(graphs[::-1]))
    torch.testing.assert_close(turned, out.flip(0), rtol=1e-9, atol=1e-9)


def test_the_state_of_an_absent_node_is_unchanged() -> None:
    module = build("node", readout="last", num_layers=1)
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    # Node 1 leaves after frame 1: what happens later is nothing to it.
    late = module(x, mask)[1]
    early = module(x[:, :2], mask[:, :2])[1]
    assert torch.equal(late, early)
    back = mask.clone()
    back[1, 4] = True
    # When it returns, it goes on from there, as if it had not been away.
    short = module(x[:, [0, 1, 4]], back[:, [0, 1, 4]])[1]
    torch.testing.assert_close(module(x, back)[1], short, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(module(x, back)[1], late)


def test_a_node_hears_only_of_those_in_its_frames() -> None:
    module = build("node", num_layers=1)
    x = torch.randn(2, 4, 4, dtype=torch.float64)
    apart = torch.tensor([[True, True, False, False], [False, False, True, True]])
    changed = x.clone()
    changed[1] *= 7
    assert torch.equal(module(x, apart)[0], module(changed, apart)[0])
    together = apart.clone()
    together[1, 0] = True
    assert not torch.equal(module(x, together)[0], module(changed, together)[0])


def test_an_empty_frame_changes_nothing() -> None:
    data, module = graph(3, 4, seed=1), build("set")
    x = torch.cat([data.x[:, :2], torch.full((3, 1, 4), torch.nan), data.x[:, 2:]], 1)
    empty = torch.zeros(3, 1, dtype=torch.bool)
    mask = torch.cat([data.mask[:, :2], empty, data.mask[:, 2:]], 1)
    out = run(module, TemporalGraph(x, mask))
    torch.testing.assert_close(out, run(module, data), rtol=1e-12, atol=1e-12)


def test_attention_weights_belong_to_frames_and_nodes() -> None:
    data, module = graph(4, 6, seed=2), build("node")
    arguments = forward_arguments(module, data)
    out, (index, alpha) = module(**arguments, return_attention_weights=True)
    assert torch.equal(out, module(**arguments))
    dense = torch.zeros(4, 6, dtype=torch.float64)
    dense[index[1], index[0]] = alpha
    assert torch.equal(dense > 0, data.mask)
    total = data.mask.any(dim=1).double()
    torch.testing.assert_close(dense.sum(dim=1), total)


def test_a_forecast_reads_what_it_predicts() -> None:
    module = build("forecast", num_layers=2)
    x = torch.randn(3, 4, 4, dtype=torch.float64)
    three = module(x)
    first = three[:, :1]
    # The predicted features come in as the next frame, the others stay.
    grown = torch.cat([first, x[:, -1:, 2:]], dim=-1)
    two = module(torch.cat([x, grown], dim=1))[:, :2]
    torch.testing.assert_close(two, three[:, 1:], rtol=1e-12, atol=1e-12)


def test_without_forces_a_forecast_of_motion_goes_straight_on() -> None:
    module = build("forecast-motion", out_channels=4)
    with torch.no_grad():
        for parameter in module.head.parameters():
            parameter.zero_()
    x = torch.zeros(1, 2, 4, dtype=torch.float64)
    x[0, 1] = torch.tensor([1.0, 2.0, 0.5, -0.25])
    expected = [[1.5, 1.75, 0.5, -0.25], [2, 1.5, 0.5, -0.25], [2.5, 1.25, 0.5, -0.25]]
    assert module(x)[0].tolist() == expected


def test_a_forecast_of_who_has_left_stays() -> None:
    module = build("forecast")
    x = torch.randn(3, 4, 4, dtype=torch.float64)
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1, 2:] = False
    mask[2] = False
    out = module(x, mask)
    assert torch.equal(out[1], x[1, 1, :2].expand(3, 2))
    assert not bool(out[2].any())
    # And it is not there for the others.
    torch.testing.assert_close(out[0], module(x[:2], mask[:2])[0])


BAD = {
    "output": ({"output": "edge"}, "'output' must be one of"),
    "readout": ({"readout": "mean"}, "'readout' must be one of"),
    "horizon": ({"horizon": 0}, "'horizon' must be at least 1 frame"),
    "layers": ({"num_layers": 0}, "'num_layers' must be at least 1"),
    "cell": ({"cell": "tcn"}, "'cell' must be one of"),
    "future": (
        {"output": "forecast", "bidirectional": True},
        "'bidirectional' must be False",
    ),
    "motion": ({"output": "forecast", "motion_dim": 3}, "first of 4 features"),
    "wide": ({"output": "forecast", "out_channels": 5}, "first of 4 features"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options_are_refused(case: str) -> None:
    options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        SpatioTemporalRelationNetwork(4, **{"out_channels": 2, **options})


def test_bad_input_is_refused() -> None:
    x, module = torch.randn(3, 4, 4, dtype=torch.float64), build("set")
    with pytest.raises(ValueError, match=r"'x' must have shape \[N, T, F\]"):
        module(x[0])
    with pytest.raises(ValueError, match=r"'mask' must be boolean of shape \[3, 4\]"):
        module(x, torch.ones(3, 4))
    with pytest.raises(ValueError, match="'edge_time' needs 'edge_index'"):
        module(x, edge_time=torch.tensor([0]))
    edge_index = torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match="'edge_time' must name the frame of each"):
        module(x, edge_index=edge_index, edge_time=torch.tensor([0]))
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[2, 3] = False
    with pytest.raises(ValueError, match=r"nodes \[1, 2\] at frame 3"):
        module(x, mask, edge_index, torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="'edge_label_index' is missing"):
        build("pair")(x)
    with pytest.raises(ValueError, match="'return_attention_weights' needs"):
        build("pair")(x, return_attention_weights=True)
    asked = build("set", u_dim=2)
    with pytest.raises(ValueError, match="'u' must have one row for each of 1 graphs"):
        asked(x, u=x[:2, 0, :2])
    hole = copy.copy(x)
    hole[1, 1, 0] = torch.nan
    with pytest.raises(ValueError, match="'x' must be finite"):
        module(hole)
