import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_relational.models import R2N2, TemporalRelationNetwork
from pyg_relational.nn import PairwiseMLP
from pyg_relational.nn.recurrent import SequenceEncoder


def sequences(*lengths: int, channels: int = 3, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    steps = [torch.randn(n, channels, generator=generator) for n in lengths]
    return Batch.from_data_list([Data(x=x) for x in steps])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("readout", ["last", "attention"])
def test_bidirectional_batch_equals_its_sequences_one_by_one(cell, readout) -> None:
    torch.manual_seed(0)
    model = R2N2(
        3, 2, 16, [8, 8], cell=cell, bidirectional=True, num_layers=2, readout=readout
    )
    batch = sequences(7, 1, 30, 7, 12)
    together = model(batch.x, batch=batch.batch)
    for row, one in zip(together, batch.to_data_list(), strict=True):
        torch.testing.assert_close(model(one.x)[0], row, rtol=1e-6, atol=1e-6)


def test_gradients_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    model = R2N2(3, 2, 16, [8, 8], bidirectional=True).double()
    batch = sequences(7, 1, 30)
    x = batch.x.double().requires_grad_()
    model(x, batch=batch.batch).sum().backward()
    alone = x.detach()[8:].requires_grad_()
    model(alone).sum().backward()
    torch.testing.assert_close(x.grad[8:], alone.grad, rtol=1e-9, atol=1e-9)


def test_tokens_are_embedded() -> None:
    torch.manual_seed(0)
    model = R2N2(3, 2, 4, [5], num_tokens=6)
    tokens = torch.tensor([5, 0, 3])
    expected = R2N2(3, 2, 4, [5])
    state = model.state_dict()
    del state["backbone.embedding.weight"]
    expected.load_state_dict(state)
    x = model.backbone.embedding.weight[tokens]
    torch.testing.assert_close(model(tokens), expected(x))


def test_a_forecast_has_a_row_for_each_further_step() -> None:
    torch.manual_seed(0)
    model = R2N2(3, 2, 4, [5], horizon=4)
    flat = R2N2(3, 8, 4, [5])
    flat.load_state_dict(model.state_dict())
    x = sequences(6).x
    assert model(x).shape == (1, 4, 2)
    torch.testing.assert_close(model(x).flatten(), flat(x).flatten())


def test_attention_weights_belong_to_steps() -> None:
    torch.manual_seed(0)
    batch = sequences(3, 1, 2)
    model = TemporalRelationNetwork(3, 2, 4)
    out, (edge_index, alpha) = model(
        batch.x, batch=batch.batch, return_attention_weights=True
    )
    torch.testing.assert_close(out, model(batch.x, batch=batch.batch))
    assert edge_index.tolist() == [[0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 2, 2]]
    sums = torch.zeros(3).index_add(0, edge_index[1], alpha)
    torch.testing.assert_close(sums, torch.ones(3))
    assert alpha[3] == 1


def test_the_last_step_alone_is_related(monkeypatch: pytest.MonkeyPatch) -> None:
    related = []
    reduce = PairwiseMLP.reduce

    def count(self, target, source, *args, **kwargs):
        related.append((target.size(0), source.size(0)))
        return reduce(self, target, source, *args, **kwargs)

    monkeypatch.setattr(PairwiseMLP, "reduce", count)
    batch = sequences(50, 20)
    R2N2(3, 2, 4, [5, 5])(batch.x, batch=batch.batch)
    assert related == [(2, 70)]


def test_the_last_state_has_read_the_whole_sequence_in_each_direction() -> None:
    torch.manual_seed(0)
    encoder = SequenceEncoder(3, 4, "gru", bidirectional=True)
    ptr = torch.tensor([0, 3, 8])
    x = torch.randn(8, 3)
    last = encoder.last(encoder(x, ptr), ptr)
    for row, steps in zip(last, (x[:3], x[3:]), strict=True):
        _, final = encoder.rnn(steps.unsqueeze(0))
        torch.testing.assert_close(row, final.flatten())


def test_the_head_is_replaced_and_the_backbone_frozen() -> None:
    torch.manual_seed(0)
    model = R2N2(3, 2, 4, [5])
    model.backbone.requires_grad_(False)
    x = sequences(4).x
    model(x).sum().backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.head.parameters())


MODEL = {"in_channels": 3, "out_channels": 2, "hidden_channels": 4}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"relation": "step"}, "'relation' must be one of"),
        ({"cell": "gur"}, "'cell' must be one of"),
        ({"readout": "mean"}, "'readout' must be one of"),
        ({"output": "edge"}, "'output' must be one of"),
        ({"horizon": 0}, "'horizon' must be at least 1"),
    ],
)
def test_unknown_names_are_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        R2N2(**MODEL, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": [2, 0, 3]}, "got 0 steps for sequence 1"),
        ({"length": [2, 2]}, "got a sum of 4 for 5 rows"),
        ({"length": [5.0]}, "vector of dtype int64"),
        ({"length": [2, 3], "batch": [0, 1, 1, 1, 1]}, "must not cross samples"),
        ({"batch": [0, 0, 2, 2, 2]}, "got 0 steps for sequence 1"),
        ({"batch": [1, 0, 0, 0, 0]}, "sorted in ascending order"),
        ({"return_attention_weights": True}, "readout='attention'"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(arguments, message) -> None:
    tensors = {
        k: torch.tensor(v) if isinstance(v, list) else v for k, v in arguments.items()
    }
    with pytest.raises(ValueError, match=message):
        R2N2(**MODEL)(torch.randn(5, 3), **tensors)


def test_no_steps_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0 steps"):
        R2N2(**MODEL)(torch.randn(0, 3))


def test_features_that_are_not_numbers_are_refused() -> None:
    x = torch.randn(5, 3)
    x[2, 0] = torch.nan
    with pytest.raises(ValueError, match="'x' must be finite"):
        R2N2(**MODEL)(x)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.tensor([1, 7]), "ids from 0 to 6 \\(got 1 to 7\\)"),
        (torch.tensor([-1, 2]), "got -1 to 2"),
        (torch.tensor([1.0]), "token ids of dtype int64"),
    ],
)
def test_unknown_tokens_are_refused(tokens, message) -> None:
    with pytest.raises(ValueError, match=message):
        R2N2(**MODEL, num_tokens=7)(tokens)
