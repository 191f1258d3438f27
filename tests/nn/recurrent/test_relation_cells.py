import pytest
import torch
from torch import nn

from pyg_relational.nn import PairwiseMLP, RelationGRUCell, RelationLSTMCell
from pyg_relational.ops import fully_connected_edges, ptr_to_batch

CELLS = [RelationGRUCell, RelationLSTMCell]
TORCH = {RelationGRUCell: nn.GRUCell, RelationLSTMCell: nn.LSTMCell}

REDUCE = {
    "sum": lambda said: said.sum(dim=0),
    "mean": lambda said: said.mean(dim=0),
    "max": lambda said: said.amax(dim=0),
    "min": lambda said: said.amin(dim=0),
}


def make(build, *channels, **kwargs):
    torch.manual_seed(0)
    options = {k: kwargs.pop(k) for k in ("u_dim", "edge_dim") if k in kwargs}
    g = PairwiseMLP(4, channels or [6, 3], **options)
    return build(2, 4, g, **kwargs).double()


def states(build, rows):
    h, c = torch.randn(2, rows, 4).double()
    return h if build is RelationGRUCell else (h, c)


def first(state):
    return state if isinstance(state, torch.Tensor) else state[0]


def parts(state):
    return (state,) if isinstance(state, torch.Tensor) else state


def test_their_names():
    g = "nn=PairwiseMLP((4, 4), [6, 3], act=relu)"
    assert str(make(RelationGRUCell)) == f"RelationGRUCell(2, 4, {g})"
    assert str(make(RelationLSTMCell)) == f"RelationLSTMCell(2, 4, {g})"


@pytest.mark.parametrize("build", CELLS)
def test_without_messages_it_is_the_cell_of_torch(build):
    """A relation that says nothing leaves torch's cell on the input alone."""
    cell = make(build)
    with torch.no_grad():
        cell.conv.nn.lins[-1].weight.zero_()
        cell.conv.nn.lins[-1].bias.fill_(-1.0)
    plain = TORCH[build](2, 4).double()
    with torch.no_grad():
        plain.weight_ih.copy_(cell.cell.weight_ih[:, :2])
        for name in ("weight_hh", "bias_ih", "bias_hh"):
            getattr(plain, name).copy_(getattr(cell.cell, name))
    x, state = torch.randn(5, 2).double(), states(build, 5)
    for got, expected in zip(
        parts(cell(x, state)), parts(plain(x, state)), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.scatter
@pytest.mark.parametrize("aggr", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("build", CELLS)
def test_all_pairs_equal_the_same_pairs_as_edges(build, aggr):
    cell = make(build, 6, 3, u_dim=2, aggr=aggr, self_pairs=False)
    ptr = torch.tensor([0, 3, 4, 8])
    x, u = torch.randn(8, 2).double(), torch.randn(3, 2).double()
    state, batch = states(build, 8), ptr_to_batch(ptr)
    out = cell(x, state, u=u, batch=batch)
    edges = fully_connected_edges(ptr=ptr, self_pairs=False)
    listed = cell(x, state, edges, u=u, batch=batch)
    heard = torch.zeros(8, 3).double()
    for i in range(8):
        j = edges[0, edges[1] == i]
        if j.numel():
            h_i = first(state)[i].expand(j.numel(), -1)
            said = cell.conv.nn(h_i, first(state)[j], u=u[batch[j]])
            heard[i] = REDUCE[aggr](said)
    expected = cell.cell(torch.cat([x, heard], dim=1), state)
    for result in (out, listed):
        for got, part in zip(parts(result), parts(expected), strict=True):
            torch.testing.assert_close(got, part, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("build", CELLS)
def test_states_start_with_zeros_and_then_all_messages_are_equal(build):
    cell, x = make(build, aggr="mean"), torch.randn(5, 2).double()
    zeros = cell.initial_state(x)
    assert all(not part.any() and part.shape == (5, 4) for part in parts(zeros))
    out = cell(x)
    for got, expected in zip(parts(out), parts(cell(x, zeros)), strict=True):
        assert torch.equal(got, expected)
    # The first step knows nothing of the others, the second does.
    other = x.clone()
    other[0] += 1
    assert torch.equal(first(cell(other))[1:], first(out)[1:])
    second = first(cell(x, out))[1:]
    assert not torch.isclose(first(cell(x, cell(other)))[1:], second).all()


def test_the_second_state_of_an_lstm_sends_no_messages():
    cell, x = make(RelationLSTMCell), torch.randn(5, 2).double()
    h, c = states(RelationLSTMCell, 5)
    out = cell(x, (h, c))
    changed = c.clone()
    changed[0] += 1
    moved = cell(x, (h, changed))
    assert torch.equal(moved[0][1:], out[0][1:])
    assert not torch.isclose(moved[0][0], out[0][0]).any()


@pytest.mark.parametrize("build", CELLS)
def test_the_relation_must_relate_states(build):
    with pytest.raises(ValueError, match=r"'in_channels=\(4, 4\)' .*got \(3, 3\)"):
        build(2, 4, PairwiseMLP(3, [6]))
    with pytest.raises(ValueError, match=r"'nn' must relate states.*got \(4, 6\)"):
        build(2, 4, PairwiseMLP((4, 6), [6]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": torch.zeros(5, 3)}, "'x' must have 2 features"),
        ({"x": torch.zeros(5, 7, 2)}, r"one step.*'Unroll\(cell\)' runs"),
        ({"x": torch.full((5, 2), torch.nan)}, "'x' must be finite"),
        ({"batch": torch.tensor([0, 1, 0, 1, 1])}, "'batch' must be sorted"),
        ({"batch": torch.zeros(3).long()}, "'batch' must name the set of each of"),
        ({"u": torch.zeros(1, 2)}, "'u' was given"),
        ({"edge_attr": torch.zeros(4, 2)}, "'edge_attr' needs 'edge_index'"),
    ],
)
@pytest.mark.parametrize("build", CELLS)
def test_bad_inputs_name_the_argument(build, arguments, message):
    cell = make(build).float()
    with pytest.raises(ValueError, match=message):
        cell(**{"x": torch.zeros(5, 2), **arguments})


@pytest.mark.parametrize("build", CELLS)
def test_bad_states_name_the_argument(build):
    cell, x = make(build).float(), torch.zeros(5, 2)

    def given(h):
        return h if build is RelationGRUCell else (torch.zeros(5, 4), h)

    name = "'state'" if build is RelationGRUCell else r"'state\[1\]'"
    with pytest.raises(ValueError, match=rf"{name} must have shape \[5, 4\].*\[4, 4\]"):
        cell(x, given(torch.zeros(4, 4)))
    with pytest.raises(ValueError, match=rf"{name} must be finite"):
        cell(x, given(torch.full((5, 4), torch.inf)))
    with pytest.raises(TypeError, match=rf"{name} must be a tensor \(got float"):
        cell(x, given(0.0))


def test_states_of_the_wrong_kind():
    h = torch.zeros(5, 4)
    with pytest.raises(TypeError, match=r"'state' must be a tensor \(got tuple"):
        make(RelationGRUCell).float()(torch.zeros(5, 2), (h, h))
    for state in (h, (h,), [h, h]):
        with pytest.raises(TypeError, match="'state' must be a pair of tensors"):
            make(RelationLSTMCell).float()(torch.zeros(5, 2), state)
