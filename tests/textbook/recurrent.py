"""Every recurrent part passes every check of the contract."""

from functools import partial

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from pyg_relational.models import RecurrentRelationNetwork
from pyg_relational.nn import (
    PairwiseMLP,
    RelationalMemory,
    RelationGRUCell,
    RelationLSTMCell,
    Unroll,
)
from pyg_relational.nn.checks import forward_arguments
from pyg_relational.testing import Part, pair_value

STEPS = (1, 2, 3)
REDUCE = {
    "sum": lambda values: values.sum(dim=0),
    "mean": lambda values: values.mean(dim=0),
    "max": lambda values: values.amax(dim=0),
}


def naive_gru(cell: nn.GRUCell, x: Tensor, h: Tensor) -> Tensor:
    """The equations of a GRU for one row."""
    from_x = (cell.weight_ih @ x + cell.bias_ih).chunk(3)
    from_h = (cell.weight_hh @ h + cell.bias_hh).chunk(3)
    reset, update = (
        (a + b).sigmoid() for a, b in zip(from_x[:2], from_h[:2], strict=True)
    )
    new = (from_x[2] + reset * from_h[2]).tanh()
    return (1 - update) * new + update * h


def naive_lstm(
    cell: nn.LSTMCell, x: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """The equations of an LSTM for one row."""
    gates = cell.weight_ih @ x + cell.bias_ih + cell.weight_hh @ h + cell.bias_hh
    take, forget, new, out = gates.chunk(4)
    c = forget.sigmoid() * c + take.sigmoid() * new.tanh()
    return out.sigmoid() * c.tanh(), c


def naive_messages(conv: nn.Module, h: list[Tensor], data: Batch) -> list[Tensor]:
    """What each object hears, pair by pair."""
    u = data.u if "u" in data else [None] * data.num_graphs
    heard: list[list[Tensor]] = [[] for _ in h]
    if "edge_index" in data:
        pairs = data.edge_index.t().tolist()
    else:
        pairs = [
            (j, i)
            for i in range(len(h))
            for j in range(len(h))
            if data.batch[i] == data.batch[j] and (conv.self_pairs or i != j)
        ]
    for e, (j, i) in enumerate(pairs):
        edge_attr = data.edge_attr[e] if "edge_attr" in data else None
        said = pair_value(conv.nn, h[i], h[j], edge_attr, u[data.batch[i]])
        heard[i].append(said)
    zero = h[0].new_zeros(conv.nn.out_channels)
    reduce = REDUCE[conv.aggr]
    return [reduce(torch.stack(said)) if said else zero for said in heard]


def naive_step(
    cell: nn.Module, x: list[Tensor], state: list[tuple], data: Batch
) -> list[tuple]:
    """One step of a cell, object by object; a state is (h,) or (h, c)."""
    heard = naive_messages(cell.conv, [s[0] for s in state], data)
    inputs = [torch.cat(pair) for pair in zip(x, heard, strict=True)]
    if isinstance(cell, RelationGRUCell):
        return [
            (naive_gru(cell.cell, row, *s),)
            for row, s in zip(inputs, state, strict=True)
        ]
    return [
        naive_lstm(cell.cell, row, *s) for row, s in zip(inputs, state, strict=True)
    ]


def run_two_steps(cell: nn.Module, data: Batch) -> Tensor:
    """Two steps from zeros, as the first alone does not read the state."""
    arguments = forward_arguments(cell, data)
    state = cell(**arguments, state=cell(**arguments))
    return state if isinstance(state, Tensor) else torch.cat(state, dim=1)


def naive_two_steps(cell: nn.Module, data: Batch) -> Tensor:
    zero = data.x.new_zeros(cell.hidden_channels)
    state = [(zero,) if isinstance(cell, RelationGRUCell) else (zero, zero)] * len(
        data.x
    )
    for _ in range(2):
        state = naive_step(cell, list(data.x), state, data)
    return torch.stack([torch.cat(s) for s in state])


def run_memory(memory: RelationalMemory, data: Batch) -> Tensor:
    return memory(data.x, memory(data.x)).flatten(1)


def naive_rows(lin: nn.Module, x: Tensor) -> Tensor:
    out = lin.weight @ x
    return out if lin.bias is None else out + lin.bias


def naive_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * norm.weight + norm.bias


def naive_block(block: nn.Module, rows: list[Tensor]) -> list[Tensor]:
    """Attention by rows and heads, then the MLP of each row."""
    width = block.head_channels
    normed = [naive_norm(block.norm_qkv, naive_rows(block.lin_qkv, r)) for r in rows]
    query, key, value = (
        [q.chunk(3)[part].split(width) for q in normed] for part in range(3)
    )
    out = []
    for i, row in enumerate(rows):
        heard = []
        for k in range(block.heads):
            scores = [query[i][k] @ other[k] / width**0.5 for other in key]
            weight = torch.stack(scores).softmax(dim=0)
            heard.append(sum(w * v[k] for w, v in zip(weight, value, strict=True)))
        row = naive_norm(block.norm_attention, row + torch.cat(heard))
        first, second = block.mlp.lins
        said = naive_rows(second, naive_rows(first, row).relu())
        out.append(naive_norm(block.norm_mlp, row + said))
    return out


def naive_memory_step(
    memory: RelationalMemory, x: Tensor, slots: list[Tensor]
) -> list[Tensor]:
    z = naive_rows(memory.lin_in, x)
    rows = [*slots, z]
    for block in memory.blocks:
        rows = naive_block(block, rows)
    if memory.gate == "none":
        return rows[:-1]
    new = []
    for slot, row in zip(slots, rows[:-1], strict=True):
        gates = naive_rows(memory.lin_gate_in, z)
        gates = gates + naive_rows(memory.lin_gate_memory, slot.tanh())
        take, keep = gates.chunk(2)
        kept = (keep + memory.forget_bias).sigmoid() * slot
        new.append((take + memory.input_bias).sigmoid() * row.tanh() + kept)
    return new


def naive_memory(memory: RelationalMemory, data: Batch) -> Tensor:
    out = []
    for x in data.x:
        slots = [
            torch.tensor([float(d == s) for d in range(memory.out_channels)]).to(x)
            for s in range(memory.slots)
        ]
        for _ in range(2):
            slots = naive_memory_step(memory, x, slots)
        out.append(torch.cat(slots))
    return torch.stack(out)


def run_unroll(unroll: Unroll, data: Batch) -> Tensor:
    """Three steps of time, whose inputs are those of the objects times 1, 2 and 3."""
    arguments = forward_arguments(unroll.cell, data)
    arguments["x"] = torch.stack([k * data.x for k in STEPS], dim=1)
    outputs, state = unroll(**arguments)
    state = (state,) if isinstance(state, Tensor) else state
    return torch.cat([outputs.flatten(1), *state], dim=1)


def naive_unroll(unroll: Unroll, data: Batch) -> Tensor:
    cell = unroll.cell
    zero = data.x.new_zeros(cell.hidden_channels)
    state = [(zero,) if isinstance(cell, RelationGRUCell) else (zero, zero)] * len(
        data.x
    )
    outputs = []
    for k in STEPS:
        state = naive_step(cell, [k * x for x in data.x], state, data)
        outputs.append(torch.stack([s[0] for s in state]))
    return torch.cat([*outputs, torch.stack([torch.cat(s) for s in state])], dim=1)


def naive_network(module: RecurrentRelationNetwork, data: Batch) -> Tensor:
    u = data.u if "u" in data else data.x.new_zeros(data.num_graphs, 0)
    asked = [torch.cat([x, u[s]]) for x, s in zip(data.x, data.batch, strict=True)]
    z = [module.lin_state(module.encoder.mlp(row[None]))[0] for row in asked]
    state = [(h, torch.zeros_like(h)) if module.cell == "lstm" else (h,) for h in z]
    steps = []
    for _ in range(module.steps):
        state = naive_step(module.unroll.cell, z, state, data)
        h = [s[0] for s in state]
        if module.output == "set":
            h = [
                sum(row for row, g in zip(h, data.batch, strict=True) if g == s)
                for s in range(data.num_graphs)
            ]
        steps.append(torch.stack([module.head(row[None])[0] for row in h]))
    return torch.stack(steps, dim=1)


def g(*channels: int, **kwargs: object) -> PairwiseMLP:
    return PairwiseMLP(4, channels, **kwargs)


def network(**kwargs: object) -> RecurrentRelationNetwork:
    return RecurrentRelationNetwork(5, 3, 4, [6, 6], [7], [8], steps=2, **kwargs)


CELL = partial(Part, output="node", naive=naive_two_steps, call=run_two_steps)
MEMORY = partial(Part, output="node", naive=naive_memory, call=run_memory)
UNROLL = partial(Part, output="node", naive=naive_unroll, call=run_unroll)
NETWORK = partial(Part, naive=naive_network)

PARTS = {
    "RelationGRUCell": CELL(lambda: RelationGRUCell(5, 4, g(6, 3, plain_last=True))),
    "RelationGRUCell-max": CELL(
        lambda: RelationGRUCell(5, 4, g(6, 3, act="tanh"), "max")
    ),
    "RelationGRUCell-u": CELL(
        lambda: RelationGRUCell(5, 4, g(6, u_dim=2), "mean", self_pairs=False), u_dim=2
    ),
    "RelationGRUCell-edges": CELL(
        lambda: RelationGRUCell(5, 4, g(6, 3, u_dim=2, edge_dim=3)),
        u_dim=2,
        edge_dim=3,
    ),
    "RelationLSTMCell": CELL(lambda: RelationLSTMCell(5, 4, g(6, 6, 3))),
    "RelationLSTMCell-sorted": CELL(
        lambda: RelationLSTMCell(5, 4, g(6, 3, plain_last=True), method="sorted")
    ),
    "RelationLSTMCell-edges": CELL(
        lambda: RelationLSTMCell(5, 4, g(6, 3, u_dim=2, edge_dim=3)),
        u_dim=2,
        edge_dim=3,
    ),
    "RelationalMemory": MEMORY(lambda: RelationalMemory(5, 3, 2, 4)),
    "RelationalMemory-memory": MEMORY(
        lambda: RelationalMemory(5, 6, 2, 2, num_blocks=2, gate="memory")
    ),
    "RelationalMemory-none": MEMORY(lambda: RelationalMemory(5, 2, 1, 3, gate="none")),
    "Unroll-gru": UNROLL(lambda: Unroll(RelationGRUCell(5, 4, g(6)))),
    "Unroll-lstm-edges": UNROLL(
        lambda: Unroll(RelationLSTMCell(5, 4, g(6, 3, edge_dim=3))), edge_dim=3
    ),
    "RecurrentRelationNetwork": NETWORK(network, "node"),
    "RecurrentRelationNetwork-u": NETWORK(
        lambda: network(u_dim=2, cell="gru", plain_last=False), "node", u_dim=2
    ),
    "RecurrentRelationNetwork-set": NETWORK(
        lambda: network(output="set", u_dim=2, act="elu"), "set", u_dim=2
    ),
    "RecurrentRelationNetwork-edges": NETWORK(
        lambda: network(edge_dim=3, u_dim=2), "node", u_dim=2, edge_dim=3
    ),
}
