"""One training run, its test on all sizes, and what is kept of it."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar, Timer
from torch_geometric.data import Batch

from pyg_relational.benchmarks.graphs.answers import Judged, judge
from pyg_relational.benchmarks.graphs.module import EvenLengths, GraphTaskModule
from pyg_relational.benchmarks.graphs.settings import (
    GRAPH_SEED,
    SIZES,
    TRAIN_NODES,
    Budget,
    Case,
    steps_for,
)
from pyg_relational.datasets.graph_tasks import GraphTasks
from pyg_relational.loader import graph_loader
from pyg_relational.train.checkpoints import (
    AtomicCheckpoints,
    read_checkpoint,
    save_best_and_last,
)
from pyg_relational.train.continuation import NEXT_START, last_checkpoint
from pyg_relational.train.datamodule import RelationalDataModule
from pyg_relational.train.environment import hardware, versions
from pyg_relational.train.files import write_json
from pyg_relational.train.fit import count_parameters
from pyg_relational.train.logs import progress, quiet_lightning

# Nodes, or pairs where all are related, of a test batch.
ROWS, PAIRS = 4096, 200_000


def load_data(task: str, root: str, budget: Budget) -> RelationalDataModule:
    """Returns the graphs to train and to validate on.

    Args:
        task (str): One of `TASKS`.
        root (str): Folder of the graphs.
        budget (Budget): How many there are.
    """
    args = {"name": task, "num_nodes": TRAIN_NODES, "seed": GRAPH_SEED}
    numbers = {"num_train": budget.graphs, "num_val": budget.validation}
    data = EvenLengths(GraphTasks, root, args | numbers, budget.batch_size)
    data.setup("fit")
    return data


def run_case(
    case: Case, data: RelationalDataModule, folder: Path, root: str
) -> dict[str, Any]:
    """Trains a model and tests it on all sizes.

    A finished run is `<task>-<model>-seed<seed>.json` in the folder. One that was
    killed goes on where it was saved.

    Args:
        case (Case): What to train.
        data (RelationalDataModule): The graphs to train on.
        folder (Path): Where runs are kept.
        root (str): Folder of the graphs.

    Returns:
        dict[str, Any]: The figures, as in the file.
    """
    pl.seed_everything(case.seed, workers=True, verbose=False)
    total = case.budget.epochs * len(data.train_dataloader())
    module = GraphTaskModule(case, total)
    checkpoints = folder / "checkpoints" / case.name
    last = last_checkpoint(checkpoints, case.settings)
    timer = Timer(verbose=False)
    with quiet_lightning():
        trainer = _trainer(case, checkpoints, timer)
        trainer.fit(module, data, ckpt_path=last, weights_only=True)
        if trainer.interrupted:
            raise KeyboardInterrupt
    best = read_checkpoint(checkpoints / "best.ckpt", NEXT_START)
    module.load_state_dict(best["state_dict"])
    losses = [point["loss"] for point in module.curve]
    chosen = losses.index(min(losses))
    figures = {
        "settings": case.settings,
        "validation": module.curve[chosen],
        "best_epoch": chosen + 1,
        "test": {size: evaluate(module, size, root) for size in case.sizes},
        "parameters": count_parameters(module.model),
        "seconds": round(timer.time_elapsed("train"), 1),
        "curve": module.curve,
        "versions": versions(),
        "hardware": hardware(),
    }
    write_json(folder / f"{case.name}.json", figures)
    shutil.rmtree(checkpoints)
    return figures


def evaluate(module: GraphTaskModule, size: str, root: str) -> dict[str, float]:
    """Returns the shares of graphs that are solved and of answers that are right.

    Args:
        module (GraphTaskModule): The trained model.
        size (str): One of `SIZES`.
        root (str): Folder of the graphs.
    """
    case, (low, high, number) = module.case, SIZES[size]
    number = max(1, round(case.budget.share * number))
    dataset = GraphTasks(
        root, case.task, "test", (low, high), num_test=number, seed=GRAPH_SEED
    )
    rows = ROWS // high if case.task != "sorting" else PAIRS // high**2
    steps = steps_for(case.task, case.model, high)
    solved, right = [], []
    start = time.perf_counter()
    module.eval()
    with torch.no_grad():
        for batch in graph_loader(dataset, batch_size=max(1, rows)):
            judged = judge_answers(module, batch, steps)
            solved.append(judged.solved)
            right.append(judged.right)
    return {
        "graphs": number,
        "steps": steps,
        "solved": torch.cat(solved).double().mean().item(),
        "right": torch.cat(right).double().mean().item(),
        "seconds": round(time.perf_counter() - start, 1),
    }


def judge_answers(module: GraphTaskModule, batch: Batch, steps: int) -> Judged:
    """Returns which answers are right; of a graph on which the states of the model grow
    until they overflow, none is.

    Args:
        module (GraphTaskModule): The trained model.
        batch (Batch): The graphs.
        steps (int): How often the model relates nodes.
    """
    try:
        out = module.answer(batch, steps, 1)[:, -1]
    except ValueError as error:
        if "must be finite" not in str(error):
            raise
        if batch.num_graphs == 1:
            right = torch.zeros(batch.y.numel(), dtype=torch.bool)
            return Judged(right, torch.zeros(1, dtype=torch.bool))
        graphs = [Batch.from_data_list([graph]) for graph in batch.to_data_list()]
        single = [judge_answers(module, graph, steps) for graph in graphs]
        return Judged(*(torch.cat(parts) for parts in zip(*single, strict=True)))
    return judge(module.case.task, out, batch)


def _trainer(case: Case, folder: Path, timer: Timer) -> pl.Trainer:
    saved = save_best_and_last(folder, "val/loss", "min")
    bar = progress("val/solved")
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=case.budget.epochs,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[timer, bar, *saved],
        plugins=[AtomicCheckpoints()],
        enable_progress_bar=isinstance(bar, ProgressBar),
        enable_model_summary=False,
        default_root_dir=folder,
    )
