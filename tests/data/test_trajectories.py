import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch

from pyg_relational.data import TemporalGraph, from_trajectories, windows

ROWS = st.dictionaries(
    st.tuples(st.integers(-2, 5), st.integers(0, 9)),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    min_size=1,
    max_size=12,
)


def table(rows, **further):
    """Rows are (frame, entity, x, y)."""
    columns = zip(*rows, strict=True)
    named = dict(zip(("frame", "entity", "x", "y"), columns, strict=True))
    return {**named, **further}


@settings(max_examples=80, deadline=None)
@given(ROWS, st.randoms(), st.booleans())
def test_rows_of_any_order_are_put_in_their_place(rows, random, stepped):
    listed = [(10 * t, e, *xy) for (t, e), xy in rows.items()]
    random.shuffle(listed)
    graph = from_trajectories(table(listed), frame_step=10 if stepped else None)
    frames = sorted({row[0] for row in listed})
    if stepped:
        frames = list(range(frames[0], frames[-1] + 1, 10))
    entities = sorted({row[1] for row in listed})
    assert graph.frame_time.tolist() == frames
    assert graph.node_id.tolist() == entities
    assert graph.mask.sum() == len(listed)
    for t, e, x, y in listed:
        place = entities.index(e), frames.index(t)
        assert graph.mask[place]
        assert graph.x[place].tolist() == [x, y]
    assert not graph.x[~graph.mask].any()


def test_missing_frames():
    rows = [(0, 1, 0.0, 0.0), (12, 1, 1.0, 1.0), (6, 2, 2.0, 2.0)]
    close = from_trajectories(table(rows))
    assert close.frame_time.tolist() == [0, 6, 12]
    known = from_trajectories(table(rows), frame_step=3)
    assert known.frame_time.tolist() == [0, 3, 6, 9, 12]
    assert known.mask.any(0).tolist() == [True, False, True, False, True]
    fine = from_trajectories(
        table([(0.1 * t, 1, 0.0, 0.0) for t in range(9)]), frame_step=0.1
    )
    assert fine.mask.shape == (1, 9)
    assert fine.frame_time.dtype == torch.float64


def test_data_frames_and_other_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {"t": [2.0, 1.0], "who": ["bo", "al"], "vx": [1, 2]}, index=[5, 9]
    )
    graph = from_trajectories(frame, "t", "who", ["vx"])
    assert graph.node_names == ["al", "bo"]
    assert graph.node_id.tolist() == [0, 1]
    assert graph.x.flatten().tolist() == [2, 0, 0, 1]
    assert graph.x.dtype == torch.get_default_dtype()
    assert graph.frame_time.tolist() == [1, 2]


def test_numbers_of_entities_may_be_stored_as_floats():
    graph = from_trajectories(table([(0, 7.0, 1, 1), (0, 3.0, 1, 1)]))
    assert graph.node_id.tolist() == [3, 7]
    assert graph.node_id.dtype == torch.long


GOOD = [(0, 1, 0.0, 0.0), (1, 1, 1.0, 1.0)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            table([*GOOD, (1, 1, 5.0, 5.0)]),
            "one row for each entity and frame .got 2 for entity 1 at frame 1",
        ),
        ({"frame": [0], "entity": [0]}, "a column 'x' .got 'frame', 'entity'"),
        ({k: [] for k in ("frame", "entity", "x", "y")}, "must have a row .got none"),
        (table(GOOD, y=[1.0]), r"column 'y' .*each of 2 rows \(got shape \[1\]\)"),
        (table(GOOD, x=["a", "b"]), "column 'x' must hold numbers .got <U1"),
        (table(GOOD, frame=["a", "b"]), "column 'frame' must hold numbers"),
        (
            table(GOOD, y=[0.0, np.nan]),
            "'y' must be finite .got nan for entity 1 at frame 1.*leave",
        ),
        (table(GOOD, frame=[0.0, np.inf]), "'frame' must be finite .got inf for row 1"),
        (table(GOOD, entity=[0.5, 1.0]), "'entity' must hold integers or names .*0.5"),
        (table(GOOD, entity=[np.nan, 1.0]), "'entity' must hold integers .*nan"),
        (
            table(GOOD, entity=np.array(["a", 1], dtype=object)),
            "'entity' must hold integers or names, not a mixture",
        ),
    ],
)
def test_bad_tables(given, message):
    with pytest.raises(ValueError, match=message):
        from_trajectories(given)


def test_frames_that_do_not_fit_the_step():
    with pytest.raises(ValueError, match=r"frame 0 to every .*of 10 .got frame 15"):
        from_trajectories(table([(0, 1, 0, 0), (15, 1, 0, 0)]), frame_step=10)
    with pytest.raises(ValueError, match=r"'frame_step' must be positive .got 0"):
        from_trajectories(table(GOOD), frame_step=0)


def series(nodes, frames, seed=0, present=0.6, timed=True):
    """Nodes that come and go, edges among those present."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(nodes, frames, generator=generator) < present
    x = torch.randn(nodes, frames, 3, generator=generator)
    time, source, target = (mask.t().unsqueeze(2) & mask.t().unsqueeze(1)).nonzero().t()
    if not timed:
        source, target = torch.ones(nodes, nodes).nonzero().t()
    return TemporalGraph(
        x.where(mask.unsqueeze(-1), torch.nan),
        mask,
        torch.stack([source, target]),
        time if timed else None,
        torch.randn(source.numel(), 2, generator=generator),
        torch.randn(nodes, frames, generator=generator),
        torch.arange(nodes) + 20,
        height=torch.arange(nodes),
        frame_time=torch.arange(frames) * 7,
        place=torch.ones(1, 6),
    )


def inputs(samples):
    """All attributes but the targets, bit by bit."""
    return [
        {
            name: (value.dtype, value.shape, value.contiguous().numpy().tobytes())
            for name, value in sample
            if name not in ("y", "y_mask")
        }
        for sample in samples
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 99),
)
def test_samples_hold_history_and_horizon(
    nodes, history, horizon, stride, longer, timed, seed
):
    graph = series(nodes, history + horizon + longer, seed, timed=timed)
    samples = {s.start.item(): s for s in windows(graph, history, horizon, stride)}
    for start in range(0, longer + 1, stride):
        seen = slice(start, start + history)
        later = slice(start + history, start + history + horizon)
        known = graph.mask[:, seen].any(1).nonzero().flatten()
        if not known.numel():
            assert start not in samples
            continue
        sample = samples.pop(start)
        assert torch.equal(sample.height, known)
        assert torch.equal(sample.node_id, known + 20)
        assert torch.equal(sample.x.nan_to_num(), graph.x[known, seen].nan_to_num())
        assert torch.equal(sample.mask, graph.mask[known, seen])
        assert torch.equal(sample.y, graph.x[known, later].nan_to_num())
        assert torch.equal(sample.y_mask, graph.mask[known, later])
        assert torch.equal(sample.frame_time, graph.frame_time[seen])
        assert sample.place.shape == (1, 6)
        ends = known[sample.edge_index]
        kept = [
            e
            for e, pair in enumerate(graph.edge_index.t().tolist())
            if {*pair} <= {*known.tolist()}
            and (not timed or start <= graph.edge_time[e] < start + history)
        ]
        assert torch.equal(ends, graph.edge_index[:, kept])
        assert torch.equal(sample.edge_attr, graph.edge_attr[kept])
        if timed:
            assert torch.equal(sample.edge_time + start, graph.edge_time[kept])
        assert sample.validate()
    assert not samples


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("first", [3, 4, 6])
def test_no_input_changes_with_the_future(timed, first):
    graph = series(5, 8, timed=timed)
    other = series(5, 8, seed=1, timed=timed)
    mask = torch.cat([graph.mask[:, :first], other.mask[:, first:]], dim=1)
    x = torch.cat([graph.x[:, :first], other.x[:, first:]], dim=1)
    edges = {"edge_index": graph.edge_index, "edge_attr": graph.edge_attr}
    if timed:
        old, new = graph.edge_time < first, other.edge_time >= first
        edges = {
            name: torch.cat([graph[name][..., old], other[name][..., new]], dim=-1)
            for name in ("edge_index", "edge_time")
        }
        edges["edge_attr"] = torch.cat([graph.edge_attr[old], other.edge_attr[new]])
    changed = TemporalGraph(
        x,
        mask,
        **edges,
        y=other.y,
        node_id=graph.node_id,
        height=graph.height,
        frame_time=graph.frame_time,
        place=graph.place,
    )
    before, after = (windows(g, history=3, horizon=2) for g in (graph, changed))
    number = sum(sample.start.item() + 3 <= first for sample in before)
    assert number == first - 2
    assert inputs(before[:number]) == inputs(after[:number])
    last = before[number - 1], after[number - 1]
    # What came after is another story, so the test can fail.
    assert not torch.equal(last[0].y, last[1].y)
    if number < len(before):
        assert inputs(before[number:]) != inputs(after[number:])


def test_samples_form_batches():
    samples = windows(series(4, 9), 4, 2)
    batch = Batch.from_data_list(samples)
    assert batch.x.shape == (batch.num_nodes, 4, 3)
    assert batch.y.shape == (batch.num_nodes, 2, 3)
    assert batch.start.tolist() == [0, 1, 2, 3]
    assert inputs(batch.to_data_list()) == inputs(samples)


def test_the_graph_stays_as_it_was():
    graph = series(4, 9)
    before = graph.clone()
    for sample in windows(graph, 4, 2):
        sample.x = sample.x * 0
        sample.y += 1
    for name, value in before:
        assert torch.equal(graph[name].nan_to_num(), value.nan_to_num()), name


def test_who_leaves_has_no_target_and_who_comes_is_unknown():
    mask = torch.tensor([[True, True, False], [False, False, True]])
    graph = TemporalGraph(torch.ones(2, 3, 1), mask)
    (sample,) = windows(graph, 2, 1)
    assert sample.node_id.tolist() == [0]
    assert sample.y_mask.tolist() == [[False]]
    assert sample.y.tolist() == [[[0.0]]]


def test_empty_frames_stay_and_empty_histories_give_no_sample():
    mask = torch.tensor([[True, False, False, False, True]])
    samples = windows(TemporalGraph(torch.ones(1, 5, 1), mask), 2, 1)
    assert [sample.start.item() for sample in samples] == [0]
    assert samples[0].mask.tolist() == [[True, False]]


def test_the_first_features_are_forecast():
    graph = series(2, 4, present=1.1)
    (sample,) = windows(graph, 2, 2, target_channels=2)
    assert torch.equal(sample.y, graph.x[:, 2:, :2])
    assert sample.x.size(2) == 3


GRAPH = series(2, 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((GRAPH, 3, 2), "at least 5 frames, 3 of history and 2 of .*a series of 4"),
        ((GRAPH, 0, 2), "'history' must be an integer of at least 1 .got 0"),
        ((GRAPH, 1, 1.5), "'horizon' must be an integer of at least 1 .got 1.5"),
        ((GRAPH, 1, 1, True), "'stride' must be an integer of at least 1 .got True"),
        ((GRAPH, 1, 1, 1, 4), "'target_channels' must be from 1 to 3.*got 4"),
        ((GRAPH, 1, 1, 1, 0), "'target_channels' must be from 1 to 3.*got 0"),
        ((Batch.from_data_list([GRAPH]), 1, 1), "got a batch.; use 'batch.to_data"),
        ((TemporalGraph(), 1, 1), "'graph' must have 'x'"),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(ValueError, match=message):
        windows(*given)
