"""The ``pyg-relational`` command line: options and errors."""

import importlib
import re
import sys
from typing import Any, Literal, NoReturn

from jsonargparse import ActionYesNo, ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt

from pyg_relational._checks import UsageError, nearest_names
from pyg_relational.cli.commands import (
    COMMANDS,
    PROGRAM,
    benchmark_names,
    check_config_files,
)

# The options of commands: name, type, default, help.


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


# The commands that build what a file describes.
BUILDING = ("train", "tune", "evaluate", "predict", "explain", "share")


class Parser(ArgumentParser):
    """An argument parser whose errors are one line and name the nearest options."""

    known: list[str]

    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        """Print the error with the nearest names and exit with code 2."""
        text = " ".join(message.split())
        words = text.partition("unrecognized arguments: ")[2].split()
        if words and words[0].startswith("--"):
            name = words[0].partition("=")[0]
            text = f"unknown option '{name}'; {nearest_names(name, self.known)}"
        elif words:
            text = f"unexpected argument '{words[0]}'"
        elif "argument command: invalid choice: " in text:
            name = text.partition("invalid choice: '")[2].partition("'")[0]
            text = f"unknown command '{name}'; {nearest_names(name, COMMANDS)}"
        if text.startswith("the following arguments are required: "):
            text = re.sub(r"\b\w+\.(?=\w)", "", text) + f" (see {PROGRAM} --help)"
        for key in re.findall(r'Parser key "(\w+)"', text):
            option = key.replace("_", "-")
            text = text.replace(f'Parser key "{key}"', f"option --{option}")
        print(f"{PROGRAM}: {text}", file=sys.stderr)
        raise SystemExit(2)


def run(argv: list[str]) -> int:
    """Parse the arguments and run the command."""
    try:
        arguments = parse(argv)
        for module in arguments[arguments.command].get("allow") or ():
            # Late: it imports torch.
            from pyg_relational.train.registry import allow

            allow(module)
        return COMMANDS[arguments.command](arguments[arguments.command].as_dict(), argv)
    except (UsageError, OSError) as error:
        print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return int(stop.code or 0)


def parse(argv: list[str]) -> Any:
    """Return the options of a command line."""
    check_config_files(argv)
    return build_parser(argv).parse_args(argv)


def build_parser(argv: list[str]) -> Parser:
    """Return the parser of all commands."""
    parser = Parser(
        prog=PROGRAM,
        description="Train and use relational models: recipes, runs, figures.",
        allow_abbrev=False,
    )
    commands = parser.add_subcommands(dest="command", required=True)
    parsers = {
        "list": Parser(description="List the recipes and benchmarks."),
        "train": _train_parser(),
        "tune": _tune_parser(),
        "evaluate": _evaluate_parser(),
        "predict": _predict_parser(),
        "explain": _explain_parser(),
        "tables": _tables_parser(),
        "convert": _convert_parser(),
        "share": _share_parser(),
        "doctor": _doctor_parser(),
        "benchmark": _benchmark_parser(argv),
    }
    for name, sub in parsers.items():
        commands.add_subcommand(name, sub, help=sub.description)
    for name in BUILDING:
        text = "module whose classes a recipe may name, too; its code is run"
        parsers[name].add_argument(
            "--allow", type=str, action="append", default=[], help=text
        )
    chosen = parsers.get(argv[0] if argv else "", parser)
    parser.known = [
        option for option in chosen._option_string_actions if option[:2] == "--"
    ]
    for sub in parsers.values():
        sub.known = parser.known
    return parser


def _train_parser() -> Parser:
    parser = Parser(
        description="Train a recipe and its baseline, test both, print the table.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("recipe", type=str, help="name of a recipe (see `list`) or a .yaml file")
    add("--config", action="config", help="YAML file with any of these options")
    for name, kind, default, text in TRAIN_OPTIONS:
        add(name, type=kind, default=default, help=text)
    add(
        "--baseline",
        action=ActionYesNo(yes_prefix="", no_prefix="no-"),
        default=True,
        help="train the baseline with the same budget too",
    )
    for name, text in TRAIN_SWITCHES:
        add(name, action="store_true", help=text)
    return parser


def _tune_parser() -> Parser:
    parser = Parser(
        description="Search the options of a recipe that validate best; continue it.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("recipe", type=str, help="name of a recipe (see `list`) or a .yaml file")
    add("--config", action="config", help="YAML file with any of these options")
    shared = [option for option in TRAIN_OPTIONS if option[0] in TUNE_TRAIN_OPTIONS]
    for name, kind, default, text in (*TUNE_OPTIONS, *shared):
        add(name, type=kind, default=default, help=text)
    return parser


def _evaluate_parser() -> Parser:
    parser = Parser(
        description="Test the model of a run again, print the table.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=str, help="run folder")
    parser.add_argument(
        "--data-root",
        type=str,
        default=None,
        help="dataset folder, instead of the run's",
    )
    return parser


def _predict_parser() -> Parser:
    parser = Parser(
        description="Answer about a scene, two images or two sentences of your own.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", type=str, help="run folder")
    add(
        "input",
        type=str,
        nargs="+",
        help="what the run was trained on: two image files; two sentences; or a JSON "
        'file {"objects": [...], "questions": [...]}',
    )
    add("--picture", type=str, default=None, help=".png or .svg file (null: none)")
    return parser


def _explain_parser() -> Parser:
    parser = Parser(
        description="Show which pairs decided the answers about a scene.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", type=str, help="run folder of a model that sums over pairs")
    add("input", type=str, help='JSON file: {"objects": [...], "questions": [...]}')
    add(
        "--output",
        type=str,
        default=None,
        help=".html or .png file (null: explanation.html in the run folder)",
    )
    return parser


def _tables_parser() -> Parser:
    parser = Parser(
        description="Render the recorded figures into Markdown pages.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="change nothing; exit with 1 if a page differs",
    )
    parser.add_argument(
        "--pages",
        type=str,
        nargs="+",
        default=["README.md", "datasets/*/README.md", "examples/results/README.md"],
        help="the pages, as glob patterns",
    )
    parser.add_argument(
        "--records",
        type=str,
        default="examples/results",
        help="folder of the recorded figures",
    )
    return parser


def _share_parser() -> Parser:
    parser = Parser(
        description="Write the model of a run, with a card, for others to load.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", type=str, help="run folder")
    add("out", type=str, help="new folder, or owner/name of the hub with --push")
    add("--licence", type=str, default=None, help="such as mit (null: not stated)")
    add("--push", action="store_true", help="write to the Hugging Face hub")
    return parser


def _doctor_parser() -> Parser:
    parser = Parser(
        description="Report the installation and check the operators on this machine.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--device", type=str, default="cpu", help="where the operators are checked"
    )
    return parser


def _convert_parser() -> Parser:
    parser = Parser(
        description="Turn files of scenes into a dataset with schema and report.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("input", type=str, help="folder or file: .json .jsonl .graphml .gml [.gz]")
    add("out", type=str, help="folder of the dataset; continued if interrupted")
    for name, kind, default, text in CONVERT_OPTIONS:
        add(name, type=kind, default=default, help=text)
    return parser


def _benchmark_parser(argv: list[str]) -> Parser:
    parser = Parser(
        description="Run a benchmark, print its figures.", allow_abbrev=False
    )
    add = parser.add_argument
    add("name", type=str, help="name of a benchmark (see `list`)")
    add("--output", type=str, default=None, help="JSON file for the figures as well")
    if argv[:1] == ["benchmark"] and len(argv) > 1 and argv[1][0] != "-":
        if argv[1] not in benchmark_names():
            hint = nearest_names(argv[1], benchmark_names())
            raise UsageError(f"unknown benchmark '{argv[1]}'; {hint}")
        module = importlib.import_module(f"pyg_relational.benchmarks.{argv[1]}")
        # Late: it imports torch, as the benchmark has.
        from pyg_relational.benchmarks.harness import add_options

        add_options(parser, module.run)
    return parser
