import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyg_relational.ops import (
    batch_to_ptr,
    from_dense,
    fully_connected_edges,
    gather_sets,
    ptr_to_batch,
    to_dense,
)
from pyg_relational.ops.kernels import joint_sort
from pyg_relational.ops.ragged import blocks

SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=6)


def ptr_of(sizes):
    return torch.tensor([0, *sizes]).cumsum(0)


@given(SIZES)
def test_batch_and_ptr_are_inverse(sizes):
    batch = torch.tensor([s for s, size in enumerate(sizes) for _ in range(size)])
    ptr = batch_to_ptr(batch.long(), len(sizes))
    assert torch.equal(ptr, ptr_of(sizes))
    assert torch.equal(ptr_to_batch(ptr), batch.long())


@given(SIZES)
def test_dense_and_back(sizes):
    x = torch.arange(2.0 * sum(sizes)).view(-1, 2)
    dense, mask = to_dense(x, ptr=ptr_of(sizes), fill_value=-1.0)
    batch = ptr_to_batch(ptr_of(sizes)), len(sizes)
    assert torch.equal(dense, to_dense(x, *batch, fill_value=-1.0)[0])
    for s, size in enumerate(sizes):
        assert mask[s].tolist() == [True] * size + [False] * (max(sizes) - size)
        assert bool((dense[s, size:] == -1).all())
    rows, ptr = from_dense(dense, mask)
    assert torch.equal(rows, x)
    assert torch.equal(ptr, ptr_of(sizes))


def test_dense_without_mask_is_full():
    rows, ptr = from_dense(torch.arange(6.0).view(3, 2, 1))
    assert rows.flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert ptr.tolist() == [0, 2, 4, 6]


@given(SIZES, st.booleans())
def test_edges_list_all_ordered_pairs(sizes, self_pairs):
    ptr = ptr_of(sizes)
    edges = fully_connected_edges(ptr=ptr, self_pairs=self_pairs)
    batch = ptr_to_batch(ptr), len(sizes)
    assert torch.equal(edges, fully_connected_edges(*batch, self_pairs=self_pairs))
    expected, start = [], 0
    for size in sizes:
        members = range(start, start + size)
        expected += [(j, i) for i in members for j in members if self_pairs or i != j]
        start += size
    assert [tuple(pair) for pair in edges.t().tolist()] == expected


@given(SIZES, st.data())
def test_sets_are_gathered_any_number_of_times(sizes, data):
    chosen = data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=5))
    ptr = ptr_of(sizes)
    rows, out = gather_sets(ptr, torch.tensor(chosen, dtype=torch.long))
    expected = [r for s in chosen for r in range(int(ptr[s]), int(ptr[s + 1]))]
    assert rows.tolist() == expected
    assert out.diff().tolist() == [sizes[s] for s in chosen]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1))
def test_blocks_hold_every_pair_once_with_little_padding(sizes):
    n, m = (list(side) for side in zip(*sizes, strict=True))
    target_ptr, source_ptr = ptr_of(n), ptr_of(m)
    targets, sources = torch.arange(sum(n)), torch.arange(sum(m))
    owner_n, owner_m = ptr_to_batch(target_ptr), ptr_to_batch(source_ptr)
    seen, padded = [], 0
    for block in blocks(target_ptr, source_ptr):
        rows_n, rows_m = block.take_targets(targets), block.take_sources(sources)
        padded += rows_n.numel() * block.num_sources
        for s in range(block.num_sets):
            real_n = (
                rows_n[s]
                if block.target_mask is None
                else (rows_n[s][block.target_mask[s]])
            )
            real_m = (
                rows_m[s]
                if block.source_mask is None
                else (rows_m[s][block.source_mask[s]])
            )
            assert len({*owner_n[real_n].tolist(), *owner_m[real_m].tolist()}) == 1
            seen += [(i, j) for i in real_n.tolist() for j in real_m.tolist()]
    expected = [
        (i, j)
        for s in range(len(sizes))
        for i in range(int(target_ptr[s]), int(target_ptr[s + 1]))
        for j in range(int(source_ptr[s]), int(source_ptr[s + 1]))
    ]
    assert sorted(seen) == expected
    assert padded <= 4 * len(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [5, 700_000])
def test_joint_sort_is_a_stable_sort(dtype, size):
    generator = torch.Generator().manual_seed(0)
    target, source = (
        torch.randn(2, size, generator=generator, dtype=dtype) for _ in range(2)
    )
    target[:, 1], source[:, 0], source[:, 3] = 0.0, -0.0, target[:, 2]
    target[0, 4], source[1, 2] = torch.finfo(dtype).max, -torch.finfo(dtype).tiny
    values, index = joint_sort(target, source)
    expected = torch.cat([target, source], dim=1).sort(dim=1, stable=True)
    assert torch.equal(values, expected.values)
    assert torch.equal(index, expected.indices)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: batch_to_ptr(torch.tensor([0, 1, 0])), "'batch' must be sorted"),
        (lambda: batch_to_ptr(torch.tensor([-1, 0])), "must not be negative"),
        (lambda: batch_to_ptr(torch.tensor([0, 4]), 3), "names set 4"),
        (lambda: batch_to_ptr(torch.tensor([0.0])), "dtype int64"),
        (
            lambda: fully_connected_edges(ptr=torch.tensor([1, 3])),
            "'ptr' must run from 0",
        ),
        (
            lambda: fully_connected_edges(torch.tensor([0, 3, 7])),
            "'batch' names no row",
        ),
        (lambda: fully_connected_edges(), "either 'batch'.*or 'ptr'.*neither"),
        (lambda: fully_connected_edges(ptr_of([1]), ptr=ptr_of([1])), "both"),
        (lambda: to_dense(torch.zeros(3, 1)), "either 'batch'.*or 'ptr'.*neither"),
        (
            lambda: to_dense(torch.zeros(3, 1), torch.tensor([0, 0])),
            "'batch' must name",
        ),
        (
            lambda: to_dense(torch.zeros(3, 1), ptr=ptr_of([3]), max_size=2),
            "'max_size' must be at least the largest set, 3",
        ),
        (lambda: to_dense(torch.zeros(3, 1), ptr=ptr_of([2])), "'ptr' must run from 0"),
        (
            lambda: from_dense(torch.zeros(2, 3, 1), torch.ones(2, 2).bool()),
            r"'mask' must be boolean of shape \[2, 3\]",
        ),
    ],
)
def test_bad_input_names_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
