"""What the machine can do: memory bandwidth and matrix multiplication."""

import statistics

import torch

from pyg_relational.benchmarks.ops.measure import seconds

REPEATS = 7


def bounds(device: str, size: int = 2048, megabytes: int = 256) -> dict[str, float]:
    """Measure the copy bandwidth and the matrix-multiply rate.

    Args:
        device (str): Where to compute.
        size (int): Rows and columns of the square matrices. (default: `2048`)
        megabytes (int): Size of the copied tensor. (default: `256`)

    Returns:
        dict[str, float]: `copy_gb_per_s` (bytes read and written, in 1e9 a second)
        and, in 1e9 floating-point operations a second, `matmul_gflop_per_s` (4096 x
        256 x 256) and `square_matmul_gflop_per_s`.
    """
    x = torch.ones(megabytes * 2**18, device=device)
    rows = torch.ones(4096, 256, device=device)
    weight = torch.ones(256, 256, device=device)
    square = torch.ones(size, size, device=device)
    work = {
        "copy_gb_per_s": (lambda: x.clone(), 2 * 4 * x.numel()),
        "matmul_gflop_per_s": (lambda: rows @ weight, 2 * 4096 * 256 * 256),
        "square_matmul_gflop_per_s": (lambda: square @ square, 2 * size**3),
    }
    rates = {}
    for name, (call, amount) in work.items():
        call()
        times = [seconds(call, device) for _ in range(REPEATS)]
        rates[name] = amount / statistics.median(times) / 1e9
    return rates
