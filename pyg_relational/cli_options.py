"""The options of commands: name, type, default, help."""

from typing import Any, Literal

from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt

TRAIN_OPTIONS: tuple[tuple[str, Any, Any, str], ...] = (
    ("--size", Literal["laptop", "paper"], "laptop", "size of model and budget"),
    ("--representation", str, None, "representation of the scenes (null: the first)"),
    ("--model", str, None, "model of the recipe (null: its default)"),
    ("--seed", NonNegativeInt, 0, "seed of weights and batches"),
    ("--epochs", PositiveInt, None, "epochs (null: the recipe's)"),
    ("--max-steps", PositiveInt, None, "optimiser steps at most (null: no limit)"),
    ("--batch-size", PositiveInt, None, "scenes a batch (null: the recipe's)"),
    (
        "--learning-rate",
        PositiveFloat,
        None,
        "learning rate after the warm-up (null: the recipe's)",
    ),
    ("--accelerator", Literal["auto", "cpu", "gpu"], "auto", "where to compute"),
    (
        "--precision",
        Literal["32-true", "bf16-mixed"],
        "32-true",
        "precision, as Lightning names it",
    ),
    ("--threads", PositiveInt, None, "CPU threads (null: as torch chooses)"),
    (
        "--devices",
        PositiveInt,
        None,
        "GPUs, or processes on CPUs, of this machine that share each batch (null: 1, "
        "or as torchrun says)",
    ),
    ("--run-dir", str, None, "run folder (null: runs/<recipe>-<model>-seed<seed>)"),
    ("--data-root", str, None, "dataset folder (null: the recipe's)"),
    ("--record", str, None, "JSON file that collects the figures of several seeds"),
    (
        "--set",
        dict[str, Any] | None,
        None,
        "further options by name: '{\"model.args.dropout\": 0.1}' (null: none)",
    ),
)
TRAIN_SWITCHES = (
    ("--resume", "continue the run in the folder, if there is one"),
    ("--overwrite", "replace the run in the folder, if there is one"),
)


TUNE_OPTIONS: tuple[tuple[str, Any, Any, str], ...] = (
    ("--trials", PositiveInt, 20, "trials in all, those of earlier starts included"),
    ("--sampler", Literal["tpe", "random"], "tpe", "how values are chosen"),
    (
        "--pruner",
        Literal["median", "none"],
        "median",
        "median: stop trials that do worse than half of the others",
    ),
    (
        "--timeout",
        PositiveFloat,
        None,
        "minutes after which no trial begins (null: no limit)",
    ),
    ("--study-dir", str, None, "folder of the study (null: studies/<recipe>)"),
    ("--workers", PositiveInt, 1, "processes that run trials"),
)
# The options of `train` that `tune` has too.
TUNE_TRAIN_OPTIONS = (
    "--size",
    "--representation",
    "--model",
    "--seed",
    "--epochs",
    "--max-steps",
    "--accelerator",
    "--threads",
    "--data-root",
    "--set",
)


CONVERT_OPTIONS: tuple[tuple[str, Any, Any, str], ...] = (
    ("--targets", list[str], [], "attributes to learn: '[graph.answer]'"),
    ("--edge-type", str, None, "edge attribute that names the relation (null: none)"),
    ("--relations", Literal["edges", "labels", "both"], "edges", "what edges become"),
    ("--leave-out", list[str], [], "attributes without features: '[node.name]'"),
    (
        "--category",
        Literal["one-hot", "index"],
        "one-hot",
        "how categories are encoded",
    ),
    ("--unseen", Literal["slot", "error"], "slot", "what unseen categories are"),
    ("--schema", str, None, "schema.json to use (null: from the scenes)"),
    ("--split", list[float], [0.8, 0.1, 0.1], "shares: training, validation, test"),
    ("--seed", NonNegativeInt, 0, "which scenes go where"),
    ("--bad", Literal["fail", "skip"], "fail", "what a bad scene does"),
    ("--shard-size", PositiveInt, 1000, "files or lines in a shard"),
    ("--workers", PositiveInt, 1, "processes that read and encode"),
)
