import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyg_relational.ops import pair_sum as blocks_module
from pyg_relational.ops import relu_pair_sum, relu_pair_total

METHODS = ("auto", "sorted", "dense", "tiled")


def ptr_of(sizes: list[int]) -> Tensor:
    return F.pad(torch.tensor(sizes, dtype=torch.long).cumsum(0), (1, 0))


def naive(target, source, n, m, slope, reduce, self_pairs, total):
    """The definition, target by target and source by source, in float64."""
    rows, i0, j0 = [], 0, 0
    for size_n, size_m in zip(n, m, strict=True):
        outs = []
        for i in range(size_n):
            y = torch.zeros(target.size(1), dtype=torch.float64)
            for j in range(size_m):
                if self_pairs or i != j:
                    x = target[i0 + i].double() + source[j0 + j].double()
                    y = y + torch.where(x > 0, x, slope * x)
            outs.append(y)
        pairs = size_m - (not self_pairs)
        if total:
            y = torch.stack(outs).sum(0) if outs else target.new_zeros(target.size(1))
            outs, pairs = [y.double()], pairs * size_n
        if reduce == "mean":
            outs = [y / max(pairs, 1) for y in outs]
        rows += outs
        i0, j0 = i0 + size_n, j0 + size_m
    return torch.stack(rows) if rows else target.new_zeros(0, target.size(1)).double()


def compare(target, source, n, m, slope=0.0, reduce="sum", self_pairs=True, **kwargs):
    """Values and gradients against the definition, relative to the largest entry."""
    tolerance = 1e-10 if target.dtype == torch.float64 else 1e-5
    for total, method in itertools.product((False, True), METHODS):
        leaves = [x.detach().clone().requires_grad_() for x in (target, source)]
        doubles = [x.detach().double().requires_grad_() for x in (target, source)]
        function = relu_pair_total if total else relu_pair_sum
        out = function(
            *leaves,
            ptr_of(n),
            ptr_of(m),
            negative_slope=slope,
            reduce=reduce,
            self_pairs=self_pairs,
            method=method,
        )
        expected = naive(*doubles, n, m, slope, reduce, self_pairs, total)
        assert out.dtype == target.dtype
        weight = torch.linspace(0.5, 1.5, expected.numel()).double()
        weight = weight.view(expected.shape)
        (out.double() * weight).sum().backward()
        if expected.requires_grad:
            (expected * weight).sum().backward()
        pairs = [(out, expected)]
        pairs += [
            (x.grad, y.grad if y.grad is not None else torch.zeros_like(y))
            for x, y in zip(leaves, doubles, strict=True)
        ]
        for name, (mine, right) in zip(["out", "target", "source"], pairs, strict=True):
            if right.numel() == 0:
                continue
            # Sums may cancel to zero; gradients sum slopes times weights near one.
            inputs = max(x.abs().sum() for x in doubles)
            least = 1e-5 * float(inputs.detach()) if name == "out" else 1.0
            scale = right.abs().amax().clamp_min(least + 1e-30)
            error = ((mine.double() - right).abs().amax() / scale).item()
            assert error <= tolerance, (name, total, method, error)


sizes = st.lists(st.integers(0, 7), min_size=1, max_size=5)
# Few distinct values make ties, also between a target and the negative of a source.
values = st.sampled_from([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 1e-3, 3.14])


@st.composite
def ragged(draw, aligned=False):
    n = draw(sizes)
    m = n if aligned else [draw(st.integers(0, 7)) for _ in n]
    width = draw(st.integers(1, 2))
    if draw(st.booleans()):
        seed = draw(st.integers(0, 999))
        generator = torch.Generator().manual_seed(seed)
        rows = [torch.randn(sum(k), width, generator=generator) for k in (n, m)]
    else:
        rows = [
            torch.tensor(
                draw(st.lists(values, min_size=k, max_size=k)), dtype=torch.float32
            ).view(-1, width)
            for k in (sum(n) * width, sum(m) * width)
        ]
    return *rows, n, m


@settings(max_examples=40, deadline=None)
@given(
    ragged(),
    st.sampled_from([0.0, 0.2, -0.5, 1.0]),
    st.sampled_from(["sum", "mean"]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_equals_the_double_loop(case, slope, reduce, dtype):
    target, source, n, m = case
    compare(target.to(dtype), source.to(dtype), n, m, slope, reduce)


@settings(max_examples=30, deadline=None)
@given(
    ragged(aligned=True),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from(["sum", "mean"]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_without_self_pairs(case, slope, reduce, dtype):
    target, source, n, m = case
    compare(target.to(dtype), source.to(dtype), n, m, slope, reduce, self_pairs=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exponents", [(-30, -20), (20, 30), (-30, 30)])
def test_very_small_and_very_large_values(exponents, dtype):
    generator = torch.Generator().manual_seed(0)
    n = [6, 1, 5]
    low, high = exponents
    target, source = (
        torch.randn(12, 3, generator=generator, dtype=torch.float64)
        * 10 ** (low + (high - low) * torch.rand(12, 3, generator=generator).double())
        for _ in range(2)
    )
    compare(target.to(dtype), source.to(dtype), n, n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neighbouring_sets_of_very_different_scale(dtype):
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(80, 3, generator=generator, dtype=dtype)
    source = torch.randn(80, 3, generator=generator, dtype=dtype)
    target[:40] *= 1e12
    source[:40] *= 1e12
    ptr = ptr_of([40, 40])
    joint = relu_pair_sum(target, source, ptr, ptr, method="sorted")
    alone = relu_pair_sum(target[40:], source[40:], method="sorted")
    assert torch.equal(joint[40:], alone)


def test_nearly_cancelling_values_keep_their_digits():
    target = torch.tensor([[1e6], [-1e6]])
    source = torch.tensor([[-999999.9375], [1e6 + 0.0625], [-3e7]])
    compare(target, source, [2], [3])


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("method", METHODS)
def test_gradcheck(method, slope):
    generator = torch.Generator().manual_seed(0)
    target, source = (
        torch.randn(7, 2, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )
    ptr = ptr_of([4, 0, 3])
    for function in (relu_pair_sum, relu_pair_total):
        assert torch.autograd.gradcheck(
            lambda a, b, f=function: f(
                a, b, ptr, ptr, negative_slope=slope, method=method
            ),
            (target, source),
        )


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("side", [0, 1])
def test_non_finite_values_propagate_as_over_pairs(side, bad):
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(9, 3, generator=generator) for _ in range(2)]
    rows[side][5, 1] = bad
    ptr = ptr_of([4, 5])
    for slope in (0.0, 0.2):
        pairs = F.leaky_relu(rows[0][4:, None] + rows[1][None, 4:], slope).sum(1)
        out = relu_pair_sum(*rows, ptr, ptr, negative_slope=slope, method="sorted")
        torch.testing.assert_close(out[4:], pairs, equal_nan=True)
        assert bool(out[:4].isfinite().all())


def test_bfloat16_computes_in_float32():
    generator = torch.Generator().manual_seed(0)
    target, source = (
        torch.randn(200, 4, generator=generator).bfloat16() for _ in range(2)
    )
    out = relu_pair_sum(target, source)
    expected = relu_pair_sum(target.float(), source.float())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, expected.bfloat16())


def test_large_sets_are_deterministic_and_equal_to_tiles():
    generator = torch.Generator().manual_seed(0)
    target, source = (torch.randn(3000, 8, generator=generator) for _ in range(2))
    n, m = [1500, 7, 0, 1493], [1200, 300, 500, 1000]
    results = []
    for method in ("sorted", "sorted", "tiled"):
        leaves = [x.clone().requires_grad_() for x in (target, source)]
        out = relu_pair_sum(*leaves, ptr_of(n), ptr_of(m), method=method)
        out.square().sum().backward()
        results.append((out, *(x.grad for x in leaves)))
    for first, second, tiled in zip(*results, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, tiled, rtol=2e-5, atol=2e-5 * 1e3)


@pytest.mark.parametrize("function", [relu_pair_sum, relu_pair_total])
def test_compiles_without_graph_breaks(function):
    torch.compiler.reset()
    generator = torch.Generator().manual_seed(0)
    target, source = (
        torch.randn(90, 4, generator=generator, dtype=torch.float64) for _ in range(2)
    )
    ptr = ptr_of([80, 10])
    results = []
    for run in (function, torch.compile(function, fullgraph=True, backend="aot_eager")):
        leaves = [x.clone().requires_grad_() for x in (target, source)]
        out = run(*leaves, ptr, ptr, reduce="mean", negative_slope=0.1)
        out.square().sum().backward()
        results.append((out, *(x.grad for x in leaves)))
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager)


def test_the_operators_keep_the_rules_of_custom_operators():
    generator = torch.Generator().manual_seed(0)
    target, source = (
        torch.randn(9, 2, generator=generator, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )
    ptr = ptr_of([4, 5])
    for total in (False, True):
        torch.library.opcheck(
            torch.ops.pyg_relational.relu_pair_sum.default,
            (target, source, ptr, ptr, 0.1, True, "sorted", total),
            test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
        )


ROWS = torch.zeros(3, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": torch.zeros(3, 4)}, r"same width.*\[3, 2\] and \[3, 4\]"),
        ({"source": torch.zeros(3, 2).double()}, "share a floating-point dtype"),
        ({"target": torch.zeros(3, 2).long()}, "floating-point dtype"),
        ({"target_ptr": ptr_of([3])}, "'target_ptr' needs 'source_ptr'"),
        ({"target_ptr": ptr_of([3]), "source_ptr": ptr_of([1, 2])}, "same number"),
        ({"target_ptr": ptr_of([4]), "source_ptr": ptr_of([3])}, "rows 3 .got 0 to 4"),
        (
            {"target_ptr": torch.tensor([0, 2, 1, 3]), "source_ptr": ptr_of([1, 1, 1])},
            "'target_ptr' must be ascending",
        ),
        (
            {"target_ptr": ptr_of([3]).float(), "source_ptr": ptr_of([3])},
            "dtype int64",
        ),
        ({"reduce": "max"}, "'reduce' must be one of 'sum', 'mean'"),
        ({"method": "sort"}, "did you mean 'sorted'"),
        (
            {
                "target_ptr": ptr_of([1, 2]),
                "source_ptr": ptr_of([2, 1]),
                "self_pairs": False,
            },
            "'self_pairs=False' needs",
        ),
    ],
)
def test_bad_input_names_the_argument(arguments, message):
    arguments = {"target": ROWS, "source": ROWS} | arguments
    with pytest.raises(ValueError, match=message):
        relu_pair_sum(**arguments)


@pytest.mark.parametrize("sizes", [[40], [5, 37, 0, 2]])
@pytest.mark.parametrize("self_pairs", [True, False])
@pytest.mark.parametrize("operator", [relu_pair_sum, relu_pair_total])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_groups_of_channels_give_the_same(
    sizes, self_pairs, operator, slope, monkeypatch
):
    # As for a set of millions: 16 channels at a time, transposed seven rows at a time.
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(sum(sizes), 40, generator=generator).double().requires_grad_()
        for _ in range(2)
    )
    results = []
    for grouped in (False, True):
        if grouped:
            monkeypatch.setattr(blocks_module, "_GROUP", 1)
            monkeypatch.setattr(blocks_module, "_PART", 7)
        out = operator(
            a,
            b,
            ptr,
            ptr,
            negative_slope=slope,
            self_pairs=self_pairs,
            method="sorted",
        )
        results.append((out, *torch.autograd.grad(out.sin().sum(), (a, b))))
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)
