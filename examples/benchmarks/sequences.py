"""What relating only the step that is read saves, against relating all steps."""

import random
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pyg_relational.benchmarks import harness
from pyg_relational.benchmarks.harness import in_turns, peak_memory
from pyg_relational.models import R2N2
from pyg_relational.nn.sequences import Sequences

FOLDER = Path("runs/benchmark-sequences")
CHANNELS = 128
FLOOR = 50
SECONDS = 20.0  # of the rounds of a case
PARTS = {"relation": "relation and readout", "model": "whole model, with its LSTM"}


def run(
    quick: bool = False,
    threads: int | None = None,
    repeats: int = 7,
    seed: int = 0,
    record: bool = False,
) -> dict[str, Any]:
    """Measures R2N2 with the last step as readout, forward and backward, against the
    textbook: all pairs of steps are concatenated, related, maximised over partners,
    and the last step is then picked.

    Values and gradients of both are compared first. Writes `sequences.json` to
    `runs/benchmark-sequences`.

    Args:
        quick (bool): Short sequences, seconds. (default: `False`)
        threads (int, optional): CPU threads; as torch chooses by default.
            (default: `None`)
        repeats (int): Rounds a case, fewer where they take long. (default: `7`)
        seed (int): Seed of steps, weights and the order of methods. (default: `0`)
        record (bool): Write to `examples/results`, the recorded figures.
            (default: `False`)

    Returns:
        dict[str, Any]: The figures, as in the file.

    Raises:
        UsageError: A number is smaller than 1.
    """
    harness.check_at_least(1, repeats=repeats, threads=threads)
    options: dict[str, Any] = {"quick": quick, "threads": threads, "repeats": repeats}
    command = harness.command_line(run, {**options, "seed": seed})
    sizes = [(1, 30), (2, 60)] if quick else [(1, 250), (1, 1000)]
    with harness.threads(threads):
        cases = [
            _measure(part, batch, steps, repeats, seed)
            for batch, steps in sizes
            for part in PARTS
        ]
        made = harness.made_by(command)
    table = _table(cases, command, made["hardware"])
    figures = {"table": table, **made, "seed": seed, "cases": cases}
    return harness.write_record(FOLDER, "sequences", figures, record)


class TextbookRelation(nn.Module):
    r"""Relates all steps of each of equally long sequences, then reads the last."""

    def __init__(self, model: R2N2) -> None:
        super().__init__()
        self.model = model

    def forward(self, h: Tensor) -> Tensor:
        """Return the answers from the states, shape :math:`[B, T, H]`."""
        g = self.model.backbone.steps
        assert g is not None
        steps = h.size(1)
        # [B, T, H] -> [B, T, T, 2 * H]: every pair of steps
        target = h.unsqueeze(2).expand(-1, -1, steps, -1)
        source = h.unsqueeze(1).expand(-1, steps, -1, -1)
        pairs = torch.cat([target, source], dim=-1)
        weight = torch.cat([g.lin_r.weight, g.lin_l.weight], dim=1)
        out = functional.linear(pairs, weight, g.lin_r.bias).relu()
        for lin in g.lins:
            out = lin(out).relu()
        related = torch.cat([h, out.amax(dim=2)], dim=-1)
        return self.model.head(related[:, -1])


def _measure(
    part: str, batch: int, steps: int, repeats: int, seed: int
) -> dict[str, Any]:
    torch.manual_seed(seed)
    model = R2N2(CHANNELS, 10, CHANNELS, [CHANNELS, CHANNELS], [CHANNELS])
    textbook = TextbookRelation(model)
    x = torch.randn(batch, steps, CHANNELS, requires_grad=True)
    ptr = torch.arange(batch + 1) * steps
    index = torch.arange(batch).repeat_interleave(steps)

    sequences = Sequences(ptr, torch.arange(batch + 1))
    learnt = [p for p in model.parameters() if p.requires_grad]

    def ours() -> list[Tensor | None]:
        # [B, T, F] -> [B * T, F]
        rows = x.flatten(0, 1)
        if part == "model":
            return _with_gradients(model(rows, batch=index, batch_size=batch))
        related = model.backbone.relate_last(rows, sequences)
        return _with_gradients(model.head(related))

    def theirs() -> list[Tensor | None]:
        h = model.backbone.sequence.rnn(x)[0] if part == "model" else x
        return _with_gradients(textbook(h))

    def _with_gradients(out: Tensor) -> list[Tensor | None]:
        loss = out.square().sum()
        # The relation alone does not use the weights of the recurrent net.
        return [out, *torch.autograd.grad(loss, [x, *learnt], allow_unused=True)]

    calls = {"ours": ours, "textbook": theirs}
    measured = {name: peak_memory(call, "cpu") for name, call in calls.items()}
    for mine, other in zip(measured["ours"][0], measured["textbook"][0], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)
    expected = {name: seconds for name, (_, seconds, _) in measured.items()}
    rounds = in_turns(calls, expected, "cpu", repeats, SECONDS, random.Random(seed))
    return {
        "part": part,
        "sequences": batch,
        "steps": steps,
        "seconds": rounds,
        "peak_bytes": {name: peak.extra for name, (_, _, peak) in measured.items()},
    }


def _table(
    cases: list[dict[str, Any]], command: str, kind: dict[str, Any]
) -> dict[str, Any]:
    rows = []
    for case in cases:
        seconds = case["seconds"]
        ratios = harness.ratios(seconds["textbook"], seconds["ours"])
        peak = case["peak_bytes"]
        number = f"{case['sequences']} x {case['steps']:,} steps"
        rows.append(
            [
                f"{PARTS[case['part']]}, {number}",
                *(
                    f"{1e3 * statistics.median(seconds[name]):,.2f} ms"
                    for name in ("textbook", "ours")
                ),
                f"{harness.spread(ratios, 0)} times faster",
                f"{peak['textbook'] / 1e6:,.0f} to {peak['ours'] / 1e6:,.1f} MB",
            ]
        )
    return {
        "columns": ["case", "textbook", "ours", "ratio", "extra memory"],
        "rows": rows,
        "caption": (
            f"Width {CHANNELS}, forward and backward, median [lowest to highest] over "
            f"the rounds of one run on {kind['threads']} threads, "
            f"{kind['processor']}; the floor for the relation at 1,000 steps is "
            f"{FLOOR}. `{command}`"
        ),
    }


if __name__ == "__main__":
    harness.main(run)
