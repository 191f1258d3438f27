import pytest
import torch
from torch_geometric.data import Batch, Data

from pyg_relational.models import RelationalMemoryNetwork


def network() -> RelationalMemoryNetwork:
    torch.manual_seed(0)
    return RelationalMemoryNetwork(
        3, 2, slots=2, heads=2, head_channels=3, readout_channels=[5]
    ).double()


def test_it_reads_step_by_step_and_answers_from_all_slots() -> None:
    model, x = network(), torch.randn(4, 3).double()
    memory = None
    for step in x:
        memory = model.unroll.cell(step[None], memory)
    torch.testing.assert_close(model(x), model.head(memory.flatten(1)))


def test_a_batch_equals_its_sequences_one_by_one() -> None:
    model = network()
    steps = [torch.randn(n, 3).double() for n in (4, 1, 6)]
    batch = Batch.from_data_list([Data(x=x) for x in steps])
    out = model(batch.x, batch.batch, 3)
    expected = torch.cat([model(x) for x in steps])
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    out.square().sum().backward()
    joint = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    expected.square().sum().backward()
    for mine, parameter in zip(joint, model.parameters(), strict=True):
        assert parameter.grad.abs().max() > 0
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-8, atol=1e-9)


def test_sequences_without_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0 steps for sequence 1"):
        network()(torch.randn(3, 3).double(), torch.tensor([0, 0, 2]), 3)
