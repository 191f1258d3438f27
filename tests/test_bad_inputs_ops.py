"""Every public operator against the table of bad inputs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from pyg_relational import ops
from pyg_relational.testing.bad_inputs import (
    ERRORS,
    HUGE,
    TENSOR_VALUES,
    Call,
    problem,
    unnamed,
)

SIZES = (3, 1, 4, 2)
PTR = torch.tensor([0, *SIZES]).cumsum(0)
BATCH = torch.arange(4).repeat_interleave(torch.tensor(SIZES))
BAD, N = 2, sum(SIZES)
rows = torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=rows).double()


PAIR = {
    "target": normal(N, 6),
    "source": normal(N, 6),
    "target_ptr": PTR,
    "source_ptr": PTR,
}
LAYERS = [(normal(4, 6), normal(4))]
SCORES = {"target_score": normal(N, 2), "source_score": normal(N, 2)}
DOT = {"query": normal(N, 2, 3), "key": normal(N, 2, 3), "value": normal(N, 2, 4)}
POINTERS = {"target_ptr": PTR, "source_ptr": PTR}
Case = tuple[Callable[..., Any], dict[str, Tensor]]
REDUCTIONS: dict[str, Case] = {
    **{
        f"{name}-{method}": (partial(getattr(ops, name), method=method), PAIR)
        for name in ("relu_pair_sum", "relu_pair_total")
        for method in ("auto", "sorted", "dense", "tiled")
    },
    "relu_pair_sum-mean": (partial(ops.relu_pair_sum, reduce="mean"), PAIR),
    "relu_pair_sum-no-self": (partial(ops.relu_pair_sum, self_pairs=False), PAIR),
    **{
        f"mlp_pair_reduce-{how}": (
            partial(ops.mlp_pair_reduce, layers=LAYERS, reduce=how),
            PAIR,
        )
        for how in ("sum", "mean", "max", "min")
    },
    **{
        f"additive_attention-{method}": (
            partial(ops.additive_attention, method=method),
            {**SCORES, "value": normal(N, 2, 3), **POINTERS},
        )
        for method in ("auto", "sorted", "dense")
    },
    "dot_attention": (ops.dot_attention, {**DOT, **POINTERS}),
    "pair_attention-mlp": (
        partial(ops.pair_attention, heads=2, score_layers=[(normal(2, 6), None)]),
        {**PAIR, "value": normal(N, 4)},
    ),
    "pair_attention-dot": (
        partial(ops.pair_attention, heads=2, score="dot"),
        {**PAIR, "value": normal(N, 4)},
    ),
    "pair_attention-values": (
        partial(
            ops.pair_attention,
            heads=2,
            score="dot",
            value_layers=[(normal(4, 6), None)],
        ),
        {**PAIR, "value": normal(N, 6), "target_value": normal(N, 6)},
    ),
}
CASES: dict[str, Case] = {
    **REDUCTIONS,
    "batch_to_ptr": (partial(ops.batch_to_ptr, batch_size=4), {"batch": BATCH}),
    "ptr_to_batch": (ops.ptr_to_batch, {"ptr": PTR}),
    "ptr_to_batch-rows": (partial(ops.ptr_to_batch, num_rows=N), {"ptr": PTR}),
    "to_dense": (ops.to_dense, {"x": normal(N, 3), "ptr": PTR}),
    "from_dense": (
        ops.from_dense,
        {"x": normal(4, 4, 3), "mask": ops.to_dense(normal(N, 3), ptr=PTR)[1]},
    ),
    "gather_sets": (ops.gather_sets, {"ptr": PTR, "index": torch.tensor([2, 0, 2])}),
    "fully_connected_edges": (ops.fully_connected_edges, {"ptr": PTR}),
    "fully_connected_edges-two-sides": (
        ops.fully_connected_edges,
        {"ptr": PTR, "source_ptr": PTR},
    ),
    "map_to_objects": (ops.map_to_objects, {"features": normal(2, 3, 4, 4)}),
}
# Methods that are compared with the dense one.
OTHERS = ("-auto", "-sorted", "-tiled")
# What is none of their business: rows of any width, dtype and number of dimensions,
# sets in any order and number, maps of any size and precision.
FREE = {
    ("to_dense", "x"): ("width", "dimensions", "dtype"),
    ("from_dense", "x"): ("width", "dimensions", "dtype"),
    ("gather_sets", "index"): ("rows", "out_of_range"),
    ("map_to_objects", "features"): ("width", "rows", "dtype", "device"),
    ("ptr_to_batch", "ptr"): ("rows", "device", "out_of_range"),
    ("fully_connected_edges", "ptr"): ("rows", "device", "out_of_range"),
    ("batch_to_ptr", "batch"): ("rows", "device"),
    ("fully_connected_edges", "source_ptr"): ("out_of_range",),
    ("additive_attention", "value"): ("width",),
    ("dot_attention", "value"): ("width",),
}


@pytest.mark.parametrize("kind", TENSOR_VALUES)
@pytest.mark.parametrize("name", CASES)
def test_bad_arguments(name: str, kind: str) -> None:
    function, arguments = CASES[name]
    call = Call(function, arguments)
    expected = call()
    problems = []
    for key, x in arguments.items():
        if kind in FREE.get((name.partition("-")[0], key), ()):
            continue
        for what, bad in TENSOR_VALUES[kind](key, x, arguments):
            if found := problem(call, expected, key, bad):
                problems.append(f"'{key}', {what}: {found}")
    assert not problems, "\n".join(problems)


def test_every_public_operator_is_covered() -> None:
    assert {name.partition("-")[0] for name in CASES} == set(ops.__all__)


def changed_rows(arguments: dict[str, Tensor], name: str, value: float) -> dict:
    x = arguments[name].clone()
    x[BATCH == BAD] = value
    return {**arguments, name: x}


def sets_of(out: Tensor | tuple, name: str) -> list[Tensor]:
    out = out[0] if isinstance(out, tuple) else out
    sizes = [1] * len(SIZES) if "total" in name else list(SIZES)
    return list(out.split(sizes))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_bad_numbers_reach_their_own_set_alone(name: str, value: float) -> None:
    function, arguments = REDUCTIONS[name]
    before = sets_of(function(**arguments), name)
    for key in set(arguments) - set(POINTERS):
        after = sets_of(function(**changed_rows(arguments, key, value)), name)
        for s, (x, y) in enumerate(zip(before, after, strict=True)):
            if s != BAD:
                # A block that cannot be sorted is summed in another order.
                torch.testing.assert_close(y, x, rtol=1e-12, atol=1e-13)
        if value != value:
            assert not after[BAD].isfinite().any(), f"NaN in '{key}' is lost"


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
@pytest.mark.parametrize("name", [n for n in REDUCTIONS if n.endswith(OTHERS)])
def test_infinity_is_what_it_is_over_explicit_pairs(name: str, value: float) -> None:
    """Methods agree on where an infinite input leaves finite outputs."""
    function, arguments = REDUCTIONS[name]
    dense = REDUCTIONS[f"{name.partition('-')[0]}-dense"][0]
    for key in set(arguments) - set(POINTERS):
        changed = changed_rows(arguments, key, value)
        torch.testing.assert_close(
            function(**changed), dense(**changed), equal_nan=True
        )


@pytest.mark.parametrize("name", REDUCTIONS)
def test_huge_numbers_reach_their_own_set_alone(name: str) -> None:
    function, arguments = REDUCTIONS[name]
    half = {k: x.float() if x.is_floating_point() else x for k, x in arguments.items()}
    options = dict(function.keywords) if isinstance(function, partial) else {}
    for key in ("layers", "score_layers", "value_layers"):
        if key in options:
            options[key] = [
                (w.float(), None if b is None else b.float()) for w, b in options[key]
            ]
    function = getattr(ops, name.partition("-")[0])
    before = sets_of(function(**half, **options), name)
    for key in set(arguments) - set(POINTERS):
        changed = changed_rows(half, key, 1e30)
        after = sets_of(function(**changed, **options), name)
        for s, (x, y) in enumerate(zip(before, after, strict=True)):
            assert s == BAD or torch.equal(x, y), f"'{key}' reaches set {s}"


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("sets", [0, 3])
def test_nothing_gives_nothing(name: str, sets: int) -> None:
    function, arguments = REDUCTIONS[name]
    nothing = {
        key: torch.zeros(sets + 1).long() if key in POINTERS else x[:0]
        for key, x in arguments.items()
    }
    out = function(**nothing)
    out = out[0] if isinstance(out, tuple) else out
    assert out.size(0) == (sets if "total" in name else 0)
    assert bool(out.isfinite().all())


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ops.batch_to_ptr(torch.tensor([0, HUGE])), "batch"),
        (lambda: ops.batch_to_ptr(torch.tensor([0]), HUGE), "batch_size"),
        (lambda: ops.batch_to_ptr(torch.tensor([0]), -1), "batch_size"),
        (lambda: ops.batch_to_ptr(torch.tensor([0]), 1.5), "batch_size"),
        (lambda: ops.batch_to_ptr([0, 1]), "batch"),
        (lambda: ops.batch_to_ptr(BATCH.flip(0)), "batch"),
        (lambda: ops.fully_connected_edges(ptr=torch.tensor([0, HUGE])), "ptr"),
        (lambda: ops.fully_connected_edges(ptr=torch.tensor([0, 2**31])), "ptr"),
        (lambda: ops.to_dense(torch.zeros(3, 1), ptr=PTR), "ptr"),
        (lambda: ops.gather_sets(PTR, torch.tensor([4])), "index"),
        (lambda: ops.gather_sets(PTR, torch.tensor([HUGE])), "index"),
    ],
)
def test_a_number_too_large_allocates_nothing(call: Callable, name: str) -> None:
    with pytest.raises(ERRORS) as caught:
        call()
    assert not unnamed(caught.value, [name])
