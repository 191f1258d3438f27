"""The ``pyg-relational`` command: options here, work in :mod:`pyg_relational.train`.

Torch and Lightning are imported by the commands that need them, so that ``--help`` is
quick.
"""

import importlib
import inspect
import json
import pkgutil
import re
import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any, Literal, NoReturn

from jsonargparse import ActionYesNo, ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt

from pyg_relational import benchmarks
from pyg_relational.train.errors import UsageError, nearest_names
from pyg_relational.train.files import write_atomic
from pyg_relational.train.recipe import (
    load_recipe,
    recipe_names,
    resolve,
    size_names,
)

PROGRAM = "pyg-relational"
# They say where, not what: a recorded command reproduces its figures anywhere.
PLACES = ("--run-dir", "--data-root", "--record")
SWITCHES = ("--resume", "--overwrite")
CONFIGURE = (
    "recipe",
    "size",
    "representation",
    "model",
    "seed",
    "epochs",
    "max_steps",
    "data_root",
    "batch_size",
    "learning_rate",
    "baseline",
    "accelerator",
    "precision",
)


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
    """Parse the arguments and run the command.

    Args:
        argv (list[str]): Arguments without the program's name.

    Returns:
        int: 0 on success, 1 if a check failed, 2 if the request cannot be met.
    """
    try:
        arguments = build_parser(argv).parse_args(argv)
        return COMMANDS[arguments.command](arguments[arguments.command], argv)
    except (UsageError, OSError) as error:
        print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return int(stop.code or 0)


def build_parser(argv: list[str]) -> Parser:
    """Return the parser of all commands.

    Args:
        argv (list[str]): The arguments to come: errors suggest the options of their
            command, and a benchmark adds its own options.
    """
    parser = Parser(
        prog=PROGRAM,
        description="Train and use relational models: recipes, runs, figures.",
        allow_abbrev=False,
    )
    commands = parser.add_subcommands(dest="command", required=True)
    parsers = {
        "list": Parser(description="List the recipes and benchmarks."),
        "train": _train_parser(),
        "evaluate": _evaluate_parser(),
        "predict": _predict_parser(),
        "tables": _tables_parser(),
        "benchmark": _benchmark_parser(argv),
    }
    for name, sub in parsers.items():
        commands.add_subcommand(name, sub, help=sub.description)
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
    add(
        "--size",
        type=Literal["laptop", "paper"],
        default="laptop",
        help="size of model and budget",
    )
    add(
        "--representation",
        type=str,
        default=None,
        help="representation of the scenes; none takes the recipe's first",
    )
    add(
        "--model",
        type=str,
        default=None,
        help="model of the recipe; none takes its default",
    )
    add(
        "--baseline",
        action=ActionYesNo(yes_prefix="", no_prefix="no-"),
        default=True,
        help="train the baseline with the same budget too",
    )
    add("--seed", type=NonNegativeInt, default=0, help="seed of weights and batches")
    add(
        "--epochs",
        type=PositiveInt,
        default=None,
        help="epochs, instead of the recipe's",
    )
    add("--max-steps", type=PositiveInt, default=None, help="optimiser steps at most")
    add(
        "--batch-size",
        type=PositiveInt,
        default=None,
        help="scenes a batch, instead of the recipe's",
    )
    add(
        "--learning-rate",
        type=PositiveFloat,
        default=None,
        help="learning rate after the warm-up, instead of the recipe's",
    )
    add(
        "--accelerator",
        type=Literal["auto", "cpu", "gpu"],
        default="auto",
        help="where to compute",
    )
    add(
        "--precision",
        type=Literal["32-true", "bf16-mixed"],
        default="32-true",
        help="precision, as Lightning names it",
    )
    add(
        "--threads",
        type=PositiveInt,
        default=None,
        help="CPU threads; none leaves it to torch",
    )
    add(
        "--run-dir",
        type=str,
        default=None,
        help="run folder; none takes runs/<recipe>-<model>-seed<seed>",
    )
    add(
        "--data-root",
        type=str,
        default=None,
        help="dataset folder, instead of the recipe's",
    )
    add(
        "--resume",
        action="store_true",
        help="continue the run in the folder, if there is one",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace the run in the folder, if there is one",
    )
    add(
        "--record",
        type=str,
        default=None,
        help="JSON file that collects the figures of several seeds",
    )
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
        description="Answer the questions about a scene with the model of a run.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=str, help="run folder")
    parser.add_argument(
        "input", type=str, help='JSON file: {"objects": [...], "questions": [...]}'
    )
    return parser


def _tables_parser() -> Parser:
    parser = Parser(
        description="Render the recorded figures into the README.", allow_abbrev=False
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="change nothing; exit with 1 if the README differs",
    )
    parser.add_argument("--readme", type=str, default="README.md", help="the README")
    parser.add_argument(
        "--records",
        type=str,
        default="examples/results",
        help="folder of the recorded figures",
    )
    return parser


def _benchmark_parser(argv: list[str]) -> Parser:
    parser = Parser(
        description="Run a benchmark, print its figures as JSON.", allow_abbrev=False
    )
    add = parser.add_argument
    add("name", type=str, help="name of a benchmark (see `list`)")
    add("--output", type=str, default=None, help="JSON file for the figures as well")
    if argv[:1] == ["benchmark"] and len(argv) > 1 and argv[1][0] != "-":
        if argv[1] not in benchmark_names():
            hint = nearest_names(argv[1], benchmark_names())
            raise UsageError(f"unknown benchmark '{argv[1]}'; {hint}")
        module = importlib.import_module(f"pyg_relational.benchmarks.{argv[1]}")
        parser.add_function_arguments(module.run)
    return parser


def list_command(options: Namespace, argv: list[str]) -> int:
    """Print recipes with their choices, and benchmarks."""
    print("recipes:")
    for name in recipe_names():
        recipe = load_recipe(name)
        print(textwrap.indent(textwrap.fill(f"{name}: {recipe['description']}"), "  "))
        print(f"    --size {', '.join(size_names(recipe))}")
        for variant, content in recipe.get("representations", {"": recipe}).items():
            models = ", ".join(content["models"])
            choice = f"--representation {variant} " if variant else ""
            print(f"    {choice}--model {models}")
    print("benchmarks:")
    for name in benchmark_names():
        print(f"  {name}")
    return 0


def train_command(options: Namespace, argv: list[str]) -> int:
    """Train a recipe, print the table, record the figures if asked."""
    # Settled before torch is imported: a misspelt recipe is answered at once.
    resolve(
        load_recipe(options.recipe),
        options.size,
        options.representation,
        options.model,
    )
    import torch

    from pyg_relational.train.results import print_table
    from pyg_relational.train.run import configure, train
    from pyg_relational.train.tables import record

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    # To plain numbers: YAML cannot write the parser's restricted number types.
    chosen = json.loads(json.dumps({name: options[name] for name in CONFIGURE}))
    config = configure(**chosen, command=reproducing_command(argv))
    folder = Path(options.run_dir or Path("runs") / run_name(config, options))
    results = train(config, folder, options.resume, options.overwrite)
    print_table(results)
    print(f"run folder: {folder}")
    if options.record is not None:
        record(Path(options.record), results)
    return 0


def evaluate_command(options: Namespace, argv: list[str]) -> int:
    """Test the model of a run, print the table."""
    from pyg_relational.train.results import print_table
    from pyg_relational.train.run import evaluate

    print_table(evaluate(Path(options.run), options.data_root))
    return 0


def predict_command(options: Namespace, argv: list[str]) -> int:
    """Answer the questions about a scene, print answers and probabilities."""
    from pyg_relational.train.answers import predict, print_answers

    print_answers(predict(Path(options.run), Path(options.input)))
    return 0


def tables_command(options: Namespace, argv: list[str]) -> int:
    """Render the recorded figures; with ``--check`` return 1 if the README differs."""
    from pyg_relational.train.tables import update_readme

    same = update_readme(Path(options.readme), Path(options.records), options.check)
    if options.check and not same:
        print(
            f"{PROGRAM}: '{options.readme}' differs from '{options.records}'; run "
            f"`{PROGRAM} tables`",
            file=sys.stderr,
        )
        return 1
    return 0


def benchmark_command(options: Namespace, argv: list[str]) -> int:
    """Run a benchmark with its own options, print its figures as JSON."""
    module = importlib.import_module(f"pyg_relational.benchmarks.{argv[1]}")
    names = inspect.signature(module.run).parameters
    figures = module.run(**{name: options[name] for name in names})
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    print(text)
    if options.output is not None:
        output = Path(options.output)
        write_atomic(output, lambda partial: partial.write_text(text + "\n"))
    return 0


def benchmark_names() -> list[str]:
    """Return the names of the modules in :mod:`pyg_relational.benchmarks`, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__))


def run_name(config: dict[str, Any], options: Namespace) -> str:
    """Return the name of a run; size and representation appear where chosen.

    Args:
        config (dict): The resolved configuration.
        options (Namespace): The options of ``train``.
    """
    size = None if options.size == "laptop" else options.size
    parts = [config["recipe"], options.representation, size, config["model_name"]]
    return "-".join([*filter(None, parts), f"seed{options.seed}"])


def reproducing_command(argv: list[str]) -> str:
    """Return the command line without the options that only say where to write.

    Args:
        argv (list[str]): Arguments without the program's name.
    """
    kept, skip = [PROGRAM], False
    for word in argv:
        if not skip and word.partition("=")[0] not in PLACES + SWITCHES:
            kept.append(word)
        skip = word in PLACES
    return shlex.join(kept)


COMMANDS = {
    "list": list_command,
    "train": train_command,
    "evaluate": evaluate_command,
    "predict": predict_command,
    "tables": tables_command,
    "benchmark": benchmark_command,
}
