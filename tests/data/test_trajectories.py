import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyg_relational.data import from_trajectories

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
