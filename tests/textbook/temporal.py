"""The checks of ``pyg_relational.testing`` on parts that read temporal graphs."""

from functools import partial

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from pyg_relational.models import SpatioTemporalRelationNetwork
from pyg_relational.nn import PairReadout
from pyg_relational.nn.frames import read_frames
from pyg_relational.nn.recurrent import SpaceTimeEncoder, SpaceTimeLayer
from pyg_relational.testing import Part
from pyg_relational.testing.naive import pair_value

FRAMES = 4


def graphs(
    sizes: tuple[int, ...],
    seed: int,
    width: int = 5,
    u_dim: int | None = None,
    edges: str | None = None,
    pairs: bool = False,
) -> Batch:
    """Graphs whose nodes are absent from about a third of the frames."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    batch = []
    for n in sizes:
        mask = torch.rand(n, FRAMES, generator=generator) < 0.65
        data = Data(x=normal(n, FRAMES, width), mask=mask, num_nodes=n)
        if u_dim is not None:
            data.u = normal(1, u_dim)
        every = torch.cartesian_prod(torch.arange(n), torch.arange(n)).t().view(2, -1)
        if edges == "static":
            kept = torch.rand(every.size(1), generator=generator) < 0.6
            data.edge_index = every[:, kept]
        elif edges == "timed":
            both = mask[every].all(dim=0)
            both &= torch.rand(both.shape, generator=generator) < 0.6
            pair, data.edge_time = both.nonzero(as_tuple=True)
            data.edge_index = every[:, pair]
        if edges is not None:
            data.edge_attr = normal(data.edge_index.size(1), 2)
        if pairs:
            data.edge_label_index = every[:, every[0] != every[1]]
        batch.append(data)
    return Batch.from_data_list(batch)


def cell_step(sequence: nn.Module, x: Tensor, state: tuple, suffix: str) -> tuple:
    """One step of a recurrent cell, by torch's functional forms."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = [getattr(sequence.rnn, f"{name}_l0{suffix}") for name in names]
    x, (h, c) = x[None], state
    if sequence.cell == "lstm":
        h, c = torch.lstm_cell(x, (h[None], c[None]), *weights)
        return h[0], c[0]
    step = torch.gru_cell if sequence.cell == "gru" else torch.rnn_tanh_cell
    return step(x, h[None], *weights)[0], c


def naive_related(
    layer: SpaceTimeLayer, rows: dict[int, Tensor], edges: list[tuple]
) -> dict[int, Tensor]:
    """Messages among the nodes of one frame, pair by pair; ``edges`` of that frame."""
    g = layer.conv.nn
    out = {}
    for i, x_i in rows.items():
        if edges is None:
            said = [pair_value(g, x_i, x_j) for x_j in rows.values()]
        else:
            said = [pair_value(g, x_i, rows[j], e) for j, k, e in edges if k == i]
        message = torch.stack(said).sum(0) if said else x_i.new_zeros(g.out_channels)
        out[i] = torch.cat([x_i, message])
    return out


def naive_layer(layer: SpaceTimeLayer, rows: dict, edges: dict | None) -> dict:
    """A layer on one graph; ``rows[t][i]`` is node i in frame t."""
    if layer.conv is not None:
        rows = {
            t: naive_related(layer, row, None if edges is None else edges[t])
            for t, row in rows.items()
        }
    out: dict[int, dict[int, Tensor]] = {t: {} for t in rows}
    suffixes = ("", "_reverse") if layer.sequence.bidirectional else ("",)
    for suffix in suffixes:
        zeros = next(layer.parameters()).new_zeros(layer.sequence.hidden_channels)
        states: dict[int, tuple] = {}
        for t in sorted(rows, reverse=suffix == "_reverse"):
            for i, x in rows[t].items():
                before = states.get(i, (zeros, zeros))
                states[i] = cell_step(layer.sequence, x, before, suffix)
                done = [out[t][i]] if i in out[t] else []
                out[t][i] = torch.cat([*done, states[i][0]])
    return out


def frame_edges(data: Data) -> dict[int, list[tuple]] | None:
    """The edges (source, target, features) of each frame."""
    if "edge_index" not in data:
        return None
    frames = range(data.x.size(1))
    edges: dict[int, list[tuple]] = {t: [] for t in frames}
    for k, (j, i) in enumerate(data.edge_index.t().tolist()):
        for t in frames:
            # What is predicted has the edges of the last frame.
            timed = "edge_time" in data and data.edge_time[k] != min(t, FRAMES - 1)
            if data.mask[i, t] and data.mask[j, t] and not timed:
                edges[t].append((j, i, data.edge_attr[k]))
    return edges


def naive_states(encoder: SpaceTimeEncoder, data: Data) -> dict:
    """States of one graph, frame by frame and node by node."""
    rows: dict[int, dict[int, Tensor]] = {}
    for t in range(data.x.size(1)):
        rows[t] = {}
        for i in data.mask[:, t].nonzero()[:, 0].tolist():
            row = data.x[i, t]
            if "u" in data:
                row = torch.cat([row, data.u[0]])
            if encoder.encoder.mlp is not None:
                row = encoder.encoder.mlp(row[None])[0]
            rows[t][i] = row
    for layer in encoder.layers:
        rows = naive_layer(layer, rows, frame_edges(data))
    return rows


def naive_summary(model: nn.Module, rows: dict, i: int) -> Tensor:
    """What the frames of node i amount to."""
    own = [rows[t][i] for t in sorted(rows) if i in rows[t]]
    if not own:
        return next(model.parameters()).new_zeros(model.backbone.out_channels)
    if model.attention is None:
        sequence = model.backbone.layers[-1].sequence
        width = sequence.hidden_channels
        return torch.cat([own[-1][:width], own[0][width:]])
    layer = model.attention
    score = torch.stack([layer.score(layer.lin(h).tanh()) for h in own])
    weight = score.exp() / score.exp().sum()
    return (weight * torch.stack(own)).sum(0)


def naive_pairs(readout: PairReadout, rows: dict, pairs: list) -> Tensor:
    zeros = next(readout.parameters()).new_zeros
    met = {}
    for i, j in pairs:
        both = [t for t in rows if i in rows[t] and j in rows[t]]
        said = [pair_value(readout.relation, rows[t][i], rows[t][j]) for t in both]
        nothing = zeros(readout.relation.out_channels)
        met[i, j] = torch.stack(said).mean(0) if said else nothing
    out = [zeros(readout.head.out_channels)][:0]
    for i, j in pairs:
        joint = [met[i, j]]
        for end in (i, j):
            heard = [p for (first, _), p in met.items() if first == end]
            nothing = zeros(readout.context.out_channels)
            joint.append(sum((readout.context(p[None])[0] for p in heard), nothing))
        out.append(readout.head(torch.cat(joint)[None])[0])
    return torch.stack(out) if out else zeros(0, readout.head.out_channels)


def naive_forecast(model: nn.Module, data: Data) -> Tensor:
    """Each horizon by reading history and predictions from the start."""
    present = [i for i in range(len(data.x)) if data.mask[i, FRAMES - 1]]
    grown = data.clone()
    steps = []
    for _ in range(model.horizon):
        rows = naive_states(model.backbone, grown)
        last = max(rows)
        new = torch.zeros_like(data.x[:, 0])
        for i in present:
            change = model.head(rows[last][i][None])[0]
            now = grown.x[i, -1]
            d = model.motion_dim
            if d is None:
                c = model.out_channels
                new[i] = torch.cat([now[:c] + change, now[c:]])
            else:
                v = now[d : 2 * d] + change
                new[i] = torch.cat([now[:d] + v, v, now[2 * d :]])
        steps.append(new)
        there = torch.zeros(len(new), 1, dtype=torch.bool)
        there[present] = True
        grown.x = torch.cat([grown.x, new[:, None]], dim=1)
        grown.mask = torch.cat([grown.mask, there], dim=1)
    out = torch.stack(steps, dim=1)[..., : model.out_channels]
    for i in range(len(data.x)):
        seen = data.mask[i].nonzero()[:, 0].tolist()
        if i not in present and seen:
            out[i] = data.x[i, seen[-1], : model.out_channels]
    return out


def naive_model(model: nn.Module, batch: Batch) -> Tensor:
    outputs = []
    for data in batch.to_data_list():
        if model.output == "forecast":
            outputs.append(naive_forecast(model, data))
            continue
        rows = naive_states(model.backbone, data)
        if model.output == "pair":
            pairs = data.edge_label_index.t().tolist()
            outputs.append(naive_pairs(model.head, rows, pairs))
            continue
        nodes = [naive_summary(model, rows, i) for i in range(len(data.x))]
        if model.output == "set":
            zeros = next(model.parameters()).new_zeros(model.backbone.out_channels)
            outputs.append(model.head(sum(nodes, zeros)[None]))
        elif nodes:
            outputs.append(model.head(torch.stack(nodes)))
    return torch.cat(outputs)


def run_layer(layer: nn.Module, data: Data, u: Tensor | None = None) -> Tensor:
    """States of present nodes, zero for absent ones: ``[N, T, H]``."""
    edges = (data.get(name) for name in ("edge_index", "edge_time", "edge_attr"))
    frames = read_frames(data.x, data.mask, *edges, data.batch, data.num_graphs)
    rows = data.x[frames.node, frames.time]
    h, _ = layer(rows, frames, *(() if u is None else (u,)))
    out = h.new_zeros(*data.mask.shape, h.size(1))
    return out.index_put((frames.node, frames.time), h)


def naive_dense(states: list[dict], batch: Batch, width: int) -> Tensor:
    out = batch.x.new_zeros(*batch.mask.shape, width)
    for start, rows in zip(batch.ptr.tolist(), states, strict=False):
        for t, row in rows.items():
            for i, h in row.items():
                out = out.index_put((torch.tensor(start + i), torch.tensor(t)), h)
    return out


def naive_layer_alone(layer: SpaceTimeLayer, batch: Batch) -> Tensor:
    states = []
    for data in batch.to_data_list():
        present = {
            t: {i: data.x[i, t] for i in data.mask[:, t].nonzero()[:, 0].tolist()}
            for t in range(FRAMES)
        }
        states.append(naive_layer(layer, present, frame_edges(data)))
    return naive_dense(states, batch, layer.out_channels)


def naive_encoder(encoder: SpaceTimeEncoder, batch: Batch) -> Tensor:
    states = [naive_states(encoder, data) for data in batch.to_data_list()]
    return naive_dense(states, batch, encoder.out_channels)


layer = partial(SpaceTimeLayer, 5, 4, [6, 3])
LAYER = partial(
    Part, output="node", naive=naive_layer_alone, call=run_layer, compiles=False
)
ENCODER = partial(
    Part,
    output="node",
    naive=naive_encoder,
    call=lambda module, data: run_layer(module, data, data.get("u")),
    compiles=False,
)
model = partial(SpatioTemporalRelationNetwork, 5, 2, 4, [6, 3], readout_channels=[7])
MODEL = partial(Part, naive=naive_model, make=graphs, compiles=False)
STATIC = partial(graphs, edges="static")
TIMED = partial(graphs, edges="timed")
PARTS = {
    **{
        f"layer-{cell}": LAYER(partial(layer, cell=cell), make=graphs)
        for cell in ("rnn", "gru", "lstm")
    },
    "layer-bidirectional": LAYER(
        partial(layer, bidirectional=True, self_pairs=True), make=graphs
    ),
    "layer-static": LAYER(partial(layer, edge_dim=2), make=STATIC),
    "layer-timed": LAYER(partial(layer, edge_dim=2), make=TIMED),
    "layer-alone": LAYER(lambda: SpaceTimeLayer(5, 4, []), make=graphs),
    "encoder": ENCODER(
        lambda: SpaceTimeEncoder(5, 4, [6, 3], [5], num_layers=2, u_dim=2),
        make=partial(graphs, u_dim=2),
    ),
    "set": MODEL(model, "set"),
    "set-u": MODEL(partial(model, u_dim=2), "set", make=partial(graphs, u_dim=2)),
    "set-last": MODEL(partial(model, readout="last", bidirectional=True), "set"),
    "node": MODEL(partial(model, output="node", num_layers=2), "node"),
    "node-timed": MODEL(
        partial(model, output="node", edge_dim=2, cell="lstm"), "node", make=TIMED
    ),
    "pair": MODEL(
        partial(model, output="pair", bidirectional=True),
        "pair",
        make=partial(graphs, pairs=True),
    ),
    "forecast": MODEL(partial(model, output="forecast", horizon=3), "node"),
    "forecast-motion": MODEL(
        partial(
            model, output="forecast", horizon=3, motion_dim=2, num_layers=2, cell="lstm"
        ),
        "node",
    ),
    "forecast-static": MODEL(
        partial(model, output="forecast", horizon=3, edge_dim=2), "node", make=STATIC
    ),
    "forecast-timed": MODEL(
        partial(model, output="forecast", horizon=2, edge_dim=2), "node", make=TIMED
    ),
}
