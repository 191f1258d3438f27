"""The commands of ``pyg-relational``: functions whose arguments are the options.

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
import time
from argparse import Action
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NoReturn

from jsonargparse import ActionConfigFile, ActionYesNo, ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt

from pyg_relational import benchmarks
from pyg_relational._checks import UsageError, nearest_names
from pyg_relational._files import parse_yaml, read_yaml
from pyg_relational.train.recipe import (
    allow,
    configure,
    load_recipe,
    recipe_names,
    size_names,
)

PROGRAM = "pyg-relational"
# They say where, not what: a recorded command reproduces its figures anywhere.
PLACES = ("--run-dir", "--study-dir", "--data-root", "--record")
SWITCHES = ("--resume", "--overwrite")
PAGES = ("README.md", "datasets/*/README.md", "examples/results/README.md")
Options = dict[str, Any]


def list_all() -> int:
    """List the recipes and benchmarks."""
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


def train(
    recipe: str,
    argv: list[str],
    size: Literal["laptop", "paper"] = "laptop",
    representation: str | None = None,
    model: str | None = None,
    seed: NonNegativeInt = 0,
    epochs: PositiveInt | None = None,
    max_steps: PositiveInt | None = None,
    batch_size: PositiveInt | None = None,
    learning_rate: PositiveFloat | None = None,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
    threads: PositiveInt | None = None,
    devices: PositiveInt | None = None,
    run_dir: str | None = None,
    data_root: str | None = None,
    record: str | None = None,
    set: dict[str, Any] | None = None,
    baseline: bool = True,
    resume: bool = False,
    overwrite: bool = False,
) -> int:
    """Train a recipe and its baseline, test both, print the table.

    Args:
        recipe: name of a recipe (see `list`) or a .yaml file
        size: size of model and budget
        representation: representation of the scenes (null: the first)
        model: model of the recipe (null: its default)
        seed: seed of weights and batches
        epochs: epochs (null: the recipe's)
        max_steps: optimiser steps at most (null: no limit)
        batch_size: scenes a batch (null: the recipe's)
        learning_rate: learning rate after the warm-up (null: the recipe's)
        accelerator: where to compute
        precision: precision, as Lightning names it
        threads: CPU threads (null: as torch chooses)
        devices: GPUs, or processes on CPUs, of this machine that share each batch
            (null: 1, or as torchrun says)
        run_dir: run folder (null: runs/<recipe>-<model>-seed<seed>)
        data_root: dataset folder (null: the recipe's)
        record: JSON file that collects the figures of several seeds
        set: further options by name: '{"model.args.dropout": 0.1}' (null: none)
        baseline: train the baseline with the same budget too
        resume: continue the run in the folder, if there is one
        overwrite: replace the run in the folder, if there is one
    """
    config = configure(
        recipe,
        command=reproducing_command(argv),
        size=size,
        representation=representation,
        model=model,
        seed=seed,
        epochs=epochs,
        max_steps=max_steps,
        data_root=data_root,
        batch_size=batch_size,
        learning_rate=learning_rate,
        baseline=baseline,
        accelerator=accelerator,
        precision=precision,
        settings=set,
    )
    from pyg_relational.train.fit import train as train_run
    from pyg_relational.train.plots import draw_records
    from pyg_relational.train.processes import must_start, start_processes
    from pyg_relational.train.results import print_table
    from pyg_relational.train.results import record as record_run

    if must_start(devices):
        return start_processes(argv, int(devices or 1))
    _use_threads(threads)
    # Size and representation appear where they were chosen.
    parts = [config["recipe"], representation, None if size == "laptop" else size]
    name = "-".join([*filter(None, parts), config["model_name"], f"seed{seed}"])
    folder = Path(run_dir or Path("runs") / name)
    figures = train_run(config, folder, resume, overwrite)
    if figures:
        print_table(figures)
        print(f"run folder: {folder}")
    if figures and record is not None:
        record_run(Path(record), figures)
        draw_records(Path(record))
    return 0


def tune(
    recipe: str,
    argv: list[str],
    trials: PositiveInt = 20,
    sampler: Literal["tpe", "random"] = "tpe",
    pruner: Literal["median", "none"] = "median",
    timeout: PositiveFloat | None = None,
    study_dir: str | None = None,
    workers: PositiveInt = 1,
    size: Literal["laptop", "paper"] = "laptop",
    representation: str | None = None,
    model: str | None = None,
    seed: NonNegativeInt = 0,
    epochs: PositiveInt | None = None,
    max_steps: PositiveInt | None = None,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    threads: PositiveInt | None = None,
    data_root: str | None = None,
    set: dict[str, Any] | None = None,
) -> int:
    """Search the options of a recipe that validate best; continue it.

    Other options are those of `train`. The exit code is 1 if Ctrl-C ended the search
    early, or no trial has a score.

    Args:
        trials: trials in all, those of earlier starts included
        sampler: how values are chosen
        pruner: median: stop trials that do worse than half of the others
        timeout: minutes after which no trial begins (null: no limit)
        study_dir: folder of the study (null: studies/<recipe>)
        workers: processes that run trials
    """
    chosen: Options = {
        "size": size,
        "representation": representation,
        "model": model,
        "seed": seed,
        "epochs": epochs,
        "max_steps": max_steps,
    }
    config = configure(
        recipe,
        **chosen,
        command=reproducing_command(argv),
        data_root=data_root,
        accelerator=accelerator,
        settings=set,
        baseline=False,
    )
    from pyg_relational.train.tune import Plan, report
    from pyg_relational.train.tune import tune as run_study

    _use_threads(threads)
    plan = Plan(
        config=config,
        folder=Path(study_dir or Path("studies") / config["recipe"]),
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        workers=workers,
        threads=threads,
        deadline=None if timeout is None else time.time() + 60 * timeout,
        options={**chosen, "set": set},
    )
    finished = run_study(plan)
    found = report(plan, recipe)
    if not finished:
        print("interrupted; the same command continues the study", file=sys.stderr)
    return 0 if finished and found else 1


def evaluate(run: str, data_root: str | None = None) -> int:
    """Test the model of a run again, print the table.

    Args:
        run: run folder
        data_root: dataset folder, instead of the run's
    """
    from pyg_relational.train.fit import evaluate as test_run
    from pyg_relational.train.results import print_table

    if figures := test_run(Path(run), data_root):
        print_table(figures)
    return 0


def predict(run: str, input: list[str], picture: str | None = None) -> int:
    """Answer about a scene, two images or two sentences of your own.

    Args:
        run: run folder
        input: what the run was trained on: two image files; two sentences; or a JSON
            file {"objects": [...], "questions": [...]}
        picture: .png or .svg file (null: none)
    """
    from pyg_relational.train.predict import run_prediction

    run_prediction(Path(run), input, None if picture is None else Path(picture))
    return 0


def explain(run: str, input: str, output: str | None = None) -> int:
    """Show which pairs decided the answers about a scene.

    Args:
        run: run folder of a model that sums over pairs
        input: JSON file: {"objects": [...], "questions": [...]}
        output: .html or .png file (null: explanation.html in the run folder)
    """
    from pyg_relational.train.predict import explain as report

    path = Path(output or Path(run) / "explanation.html")
    for entry in report(Path(run), Path(input), path):
        target, source, moved = entry["pairs"][0]
        print(
            f"{entry['question']}: {entry['answer']} ({entry['probability']:.1%}), "
            f"most by {target} with {source} ({moved:+.2f})"
        )
    print(f"report: {path}")
    return 0


def tables(
    check: bool = False,
    pages: list[str] | None = None,
    records: str = "examples/results",
) -> int:
    """Render the recorded figures into Markdown pages.

    Args:
        check: change nothing; exit with 1 if a page differs
        pages: the pages, as glob patterns (null: README.md, the cards of the datasets
            and examples/results/README.md)
        records: folder of the recorded figures
    """
    from pyg_relational.train.results import update_pages

    differ = update_pages(pages or list(PAGES), Path(records), check)
    if check and differ:
        names = ", ".join(f"'{page}'" for page in differ)
        print(
            f"{PROGRAM}: {names} differs from '{records}'; run `{PROGRAM} tables`",
            file=sys.stderr,
        )
        return 1
    return 0


def convert(
    input: str,
    out: str,
    targets: list[str] = [],  # noqa: B006 (read only)
    edge_type: str | None = None,
    relations: Literal["edges", "labels", "both"] = "edges",
    leave_out: list[str] = [],  # noqa: B006 (read only)
    category: Literal["one-hot", "index"] = "one-hot",
    unseen: Literal["slot", "error"] = "slot",
    schema: str | None = None,
    split: list[float] = [0.8, 0.1, 0.1],  # noqa: B006 (read only)
    seed: NonNegativeInt = 0,
    bad: Literal["fail", "skip"] = "fail",
    shard_size: PositiveInt = 1000,
    workers: PositiveInt = 1,
) -> int:
    """Turn files of scenes into a dataset with schema and report.

    Args:
        input: folder or file: .json .jsonl .graphml .gml [.gz]
        out: folder of the dataset; continued if interrupted
        targets: attributes to learn: '[graph.answer]'
        edge_type: edge attribute that names the relation (null: none)
        relations: what edges become
        leave_out: attributes without features: '[node.name]'
        category: how categories are encoded
        unseen: what unseen categories are
        schema: schema.json to use (null: from the scenes)
        split: shares: training, validation, test
        seed: which scenes go where
        bad: what a bad scene does
        shard_size: files or lines in a shard
        workers: processes that read and encode
    """
    from pyg_relational.data.convert import Conversion
    from pyg_relational.data.convert import convert as run

    how = Conversion(
        options={
            "targets": targets,
            "edge_type": edge_type,
            "relations": relations,
            "leave_out": leave_out,
            "category": category,
            "unseen": unseen,
        },
        schema=None if schema is None else Path(schema),
        split=tuple(split),
        seed=int(seed),
        bad=bad,
        shard_size=int(shard_size),
        workers=int(workers),
        progress=sys.stderr.isatty(),
    )
    try:
        report = run(Path(input), Path(out), how)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return 1
    shares = ", ".join(f"{count} {name}" for name, count in report["splits"].items())
    print(f"{report['scenes']} scenes ({shares}), {len(report['bad'])} bad ones")
    print(f"dataset: {Path(out)}, report: {Path(out) / 'report.md'}")
    return 0


def share(run: str, out: str, licence: str | None = None, push: bool = False) -> int:
    """Write the model of a run, with a card, for others to load.

    Args:
        run: run folder
        out: new folder, or owner/name of the hub with --push
        licence: such as mit (null: not stated)
        push: write to the Hugging Face hub
    """
    from pyg_relational import hub

    write = hub.push_to_hub if push else hub.save_pretrained
    print(f"model: {write(Path(run), out, licence=licence)}")
    return 0


def doctor(device: str = "cpu") -> int:
    """Report the installation and check the operators on this machine.

    The exit code is 1 if an operator is wrong.

    Args:
        device: where the operators are checked
    """
    from pyg_relational.cli.doctor import diagnose

    report, right = diagnose(device)
    print(report)
    return 0 if right else 1


def benchmark(name: str, output: str | None = None, **options: Any) -> int:
    """Run a benchmark, print its figures.

    Args:
        name: name of a benchmark (see `list`)
        output: JSON file for the figures as well (null: none)
    """
    from pyg_relational.benchmarks.harness import execute

    module, options = _benchmark(name), {**options, "output": output}
    try:
        execute(module.run, options, getattr(module, "summary", None))
    except ValueError as error:
        raise UsageError(f"benchmark {name}: {error}") from error
    return 0


def benchmark_names() -> list[str]:
    """Return the names of the benchmarks."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    return sorted({*names} - {"harness", "trainings"})


def reproducing_command(argv: list[str]) -> str:
    """Return the command line without the options that only say where to write."""
    kept, skip = [PROGRAM], False
    for word in argv:
        if not skip and word.partition("=")[0] not in PLACES + SWITCHES:
            kept.append(word)
        skip = word in PLACES
    return shlex.join(kept)


def _benchmark(name: str) -> Any:
    if name not in benchmark_names():
        hint = nearest_names(name, benchmark_names())
        raise UsageError(f"unknown benchmark '{name}'; {hint}")
    return importlib.import_module(f"pyg_relational.benchmarks.{name}")


def _use_threads(threads: int | None) -> None:
    import torch

    from pyg_relational.train.run_folder import keep_freed_memory

    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)


COMMANDS: dict[str, Callable[..., int]] = {
    "list": list_all,
    "train": train,
    "tune": tune,
    "evaluate": evaluate,
    "predict": predict,
    "explain": explain,
    "tables": tables,
    "convert": convert,
    "share": share,
    "doctor": doctor,
    "benchmark": benchmark,
}
# Those that take their options from files, too, and those that build what a file
# describes.
CONFIGURED = ("train", "tune")
BUILDING = ("train", "tune", "evaluate", "predict", "explain", "share")


def run(argv: list[str]) -> int:
    """Parse the arguments and run the command."""
    try:
        name, options = parse(argv)
        for module in options.pop("allow", ()):
            allow(module)
        if name in CONFIGURED:
            options["argv"] = argv
        return COMMANDS[name](**options)
    except (UsageError, OSError) as error:
        print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return int(stop.code or 0)


def parse(argv: list[str]) -> tuple[str, Options]:
    """Return the command of a command line, and its options as plain values."""
    first = argv[0] if argv else ""
    if first and first[0] != "-" and first not in COMMANDS:
        hint = nearest_names(first, COMMANDS)
        raise UsageError(f"unknown command '{first}'; {hint}")
    parser = Parser(
        prog=PROGRAM,
        description="Train and use relational models: recipes, runs, figures.",
        allow_abbrev=False,
    )
    commands = parser.add_subcommands(dest="command", required=True)
    for name, function in COMMANDS.items():
        text = str(function.__doc__).partition("\n")[0]
        sub = Parser(description=text, allow_abbrev=False)
        if name == first:
            _add_options(sub, name, argv)
            _check_options(sub, argv[1:])
        commands.add_subcommand(name, sub, help=text)
    found = parser.parse_args(argv)
    options = found[found.command].as_dict()
    options.pop("config", None)
    # The parser's restricted number types are nothing that YAML can write.
    return found.command, json.loads(json.dumps(options, default=str))


class Parser(ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        """Print the error and exit with code 2."""
        text = re.sub(
            r'Parser key "(\w+)"',
            lambda key: f"option --{key[1].replace('_', '-')}",
            " ".join(message.split()),
        )
        # Of a command, whose name the parser puts before that of its arguments.
        text = re.sub(
            r"(are required: )\w+\.(.*)", rf"\1\2 (see {PROGRAM} --help)", text
        )
        print(f"{PROGRAM}: {text}", file=sys.stderr)
        raise SystemExit(2)


class OptionsFile(ActionConfigFile):
    """A YAML file of options, read with our limits before the parser reads it: that one
    follows references without end."""

    def __call__(self, parser: Any, cfg: Any, values: Any, *args: Any) -> None:
        """Read the file; of ``set``, what several files say is joined."""
        path = Path(values)
        content = read_yaml(path) if path.is_file() else {}
        if isinstance(content, dict) and "allow" in content:
            raise UsageError(
                f"'{path}' must not say whose code is run; leave out 'allow', and give "
                "--allow MODULE on the command line"
            )
        before = cfg.get("set")
        super().__call__(parser, cfg, values, *args)
        if before or cfg.get("set"):
            cfg["set"] = {**(before or {}), **_numbers(cfg["set"], f"'{path}': set")}


class Settings(Action):
    """Options by name, joined with those that files and earlier words give."""

    def __call__(self, parser: Any, cfg: Any, values: Any, *args: Any) -> None:
        """Read the options."""
        content = parse_yaml(values, "--set")
        cfg["set"] = {**(cfg.get("set") or {}), **_numbers(content, "--set")}


def _numbers(settings: Any, where: str) -> Options:
    """Settings with numbers such as 1e-3, which YAML takes for text."""
    if not isinstance(settings or {}, dict):
        raise UsageError(f"{where} must be a mapping of options, not {settings!r}")
    numbers = {}
    for key, value in (settings or {}).items():
        try:
            numbers[key] = float(value) if isinstance(value, str) else value
        except ValueError:
            numbers[key] = value
    return numbers


def _add_options(parser: Parser, name: str, argv: list[str]) -> None:
    if name in CONFIGURED:
        text = "YAML file with any of these options"
        parser.add_argument("--config", action=OptionsFile, help=text)
    _add_arguments(parser, COMMANDS[name])
    if name == "benchmark" and len(argv) > 1 and argv[1][0] != "-":
        run = _benchmark(argv[1]).run
        # Late: it imports torch, as the benchmark has.
        from pyg_relational.benchmarks.harness import add_options

        add_options(parser, run)
    if name in BUILDING:
        text = "module whose classes a recipe may name, too; its code is run"
        parser.add_argument("--allow", type=str, action="append", default=[], help=text)


def _add_arguments(parser: Parser, function: Callable[..., Any]) -> None:
    """Adds a function's arguments as options, those without a default as words. What
    its docstring does not say of them, that of `train` does."""
    texts = _texts(train) | _texts(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "argv" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        kind, default = parameter.annotation, parameter.default
        option = f"--{name.replace('_', '-')}"
        how: Options = {"type": kind, "default": default, "help": texts.get(name)}
        if default is parameter.empty:
            option = name
            del how["default"]
            if kind == list[str]:
                how |= {"type": str, "nargs": "+"}
        elif name == "set":
            how = {"action": Settings, "default": None, "help": texts[name]}
        elif default is False:
            how = {"action": "store_true", "help": texts.get(name)}
        elif default is True:
            del how["type"]
            how["action"] = ActionYesNo(yes_prefix="", no_prefix="no-")
        elif kind == list[str] | None:
            how |= {"type": str, "nargs": "+"}
        parser.add_argument(option, **how)


def _texts(function: Callable[..., Any]) -> dict[str, str]:
    """What the section ``Args`` of a function's docstring says of each argument."""
    section = str(inspect.getdoc(function)).partition("Args:\n")[2]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _check_options(parser: Parser, words: list[str]) -> None:
    """Names the nearest options of one that there is not."""
    known = {x for x in parser._option_string_actions if x.startswith("--")}
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--") and name != "--" and name not in known:
            raise UsageError(f"unknown option '{name}'; {nearest_names(name, known)}")
