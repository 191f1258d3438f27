"""What each command of ``pyg-relational`` does, given its options.

Torch and Lightning are imported by the commands that need them, so that ``--help`` is
quick.

what runs with them.
"""

import importlib
import json
import pkgutil
import shlex
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

from pyg_relational import benchmarks
from pyg_relational._checks import UsageError
from pyg_relational._files import parse_yaml, read_yaml
from pyg_relational.train.recipe import load_recipe, recipe_names, resolve, size_names

# The settings that a command line and its configuration files give, and the name of.


Options = dict[str, Any]


def check_config_files(argv: list[str]) -> None:
    """Check that configuration files can be read, before the parser does, which follows
    references without end."""
    for word, following in zip(argv, (*argv[1:], ""), strict=False):
        name, equals, value = word.partition("=")
        path = Path(value if equals else following)
        if name == "--config" and path.is_file():
            content = read_yaml(path)
            if isinstance(content, dict) and "allow" in content:
                raise UsageError(
                    f"'{path}' must not say whose code is run; leave out 'allow', and "
                    "give --allow MODULE on the command line"
                )


def given_settings(options: Options, argv: list[str]) -> Options:
    """Return the settings of configuration files, and over them those of the command
    line."""
    found: Options = {}
    for path in options["config"] or ():
        content = read_yaml(Path(str(path))) or {}
        found |= _numbers(content.get("set") or {})
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == "--set":
            found |= _numbers(parse_yaml(value if equals else following, name) or {})
    return found


def plain_options(options: Options) -> Options:
    """Return options as plain numbers, texts and lists, without the files they came
    from."""
    # YAML cannot write the parser's restricted number types, nor JSON its dates.
    names = [name for name in options if name != "config"]
    return dict(json.loads(json.dumps({n: options[n] for n in names}, default=str)))


def run_name(config: dict[str, Any], options: Options) -> str:
    """Return the name of a run; size and representation appear where chosen."""
    size = None if options["size"] == "laptop" else options["size"]
    parts = [config["recipe"], options["representation"], size, config["model_name"]]
    return "-".join([*filter(None, parts), f"seed{options['seed']}"])


def _numbers(settings: Options) -> Options:
    """Settings with numbers such as 1e-3, which YAML takes for text."""
    numbers = {}
    for key, value in settings.items():
        try:
            numbers[key] = float(value) if isinstance(value, str) else value
        except ValueError:
            numbers[key] = value
    return numbers


PROGRAM = "pyg-relational"
# They say where, not what: a recorded command reproduces its figures anywhere.
PLACES = ("--run-dir", "--study-dir", "--data-root", "--record")
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
# Of `tune`: what the plan of a study takes, and what its best options come with.
PLANNED = ("trials", "sampler", "pruner", "workers", "threads")
REPEATED = ("size", "representation", "model", "seed", "epochs", "max_steps", "set")


def list_command(options: Options, argv: list[str]) -> int:
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


def train_command(options: Options, argv: list[str]) -> int:
    """Train a recipe, print the table, record the figures if asked; with ``--devices``
    start the processes that do so."""
    # Settled before torch is imported: a misspelt recipe is answered at once.
    resolve(
        load_recipe(options["recipe"]),
        options["size"],
        options["representation"],
        options["model"],
    )
    import torch

    from pyg_relational.train.plots import draw_records
    from pyg_relational.train.processes import must_start, start_processes
    from pyg_relational.train.results import print_table, record
    from pyg_relational.train.run import configure, train
    from pyg_relational.train.run_folder import keep_freed_memory

    if must_start(options["devices"]):
        return start_processes(argv, options["devices"])
    keep_freed_memory()
    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    options = plain_options(options | {"set": given_settings(options, argv)})
    chosen = {name: options[name] for name in CONFIGURE}
    command = reproducing_command(argv)
    config = configure(**chosen, settings=options["set"], command=command)
    folder = Path(options["run_dir"] or Path("runs") / run_name(config, options))
    results = train(config, folder, options["resume"], options["overwrite"])
    if results:
        print_table(results)
        print(f"run folder: {folder}")
    if results and options["record"] is not None:
        record(Path(options["record"]), results)
        draw_records(Path(options["record"]))
    return 0


def tune_command(options: Options, argv: list[str]) -> int:
    """Search the best options of a recipe; return 1 if Ctrl-C ended it early, or no
    trial has a score."""
    resolved = resolve(
        load_recipe(options["recipe"]),
        options["size"],
        options["representation"],
        options["model"],
    )
    import torch

    from pyg_relational.train.run import configure
    from pyg_relational.train.run_folder import keep_freed_memory
    from pyg_relational.train.tune import Plan, report, tune

    keep_freed_memory()
    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    options = plain_options(options | {"set": given_settings(options, argv)})
    chosen = {name: options[name] for name in CONFIGURE if name in options}
    command = reproducing_command(argv)
    timeout = options["timeout"]
    plan = Plan(
        config=configure(
            **chosen, settings=options["set"], command=command, baseline=False
        ),
        search=resolved["search"],
        folder=Path(options["study_dir"] or Path("studies") / resolved["recipe"]),
        deadline=None if timeout is None else time.time() + 60 * timeout,
        options={name: options[name] for name in REPEATED},
        **{name: options[name] for name in PLANNED},
    )
    finished = tune(plan)
    found = report(plan, options["recipe"])
    if not finished:
        print("interrupted; the same command continues the study", file=sys.stderr)
    return 0 if finished and found else 1


def evaluate_command(options: Options, argv: list[str]) -> int:
    """Test the model of a run, print the table."""
    from pyg_relational.train.results import print_table
    from pyg_relational.train.run import evaluate

    if results := evaluate(Path(options["run"]), options["data_root"]):
        print_table(results)
    return 0


def predict_command(options: Options, argv: list[str]) -> int:
    """Answer inputs of the user, print answers and probabilities, draw if asked."""
    from pyg_relational.train.predict import run_prediction

    picture = options["picture"]
    run_prediction(Path(options["run"]), options["input"], picture and Path(picture))
    return 0


def explain_command(options: Options, argv: list[str]) -> int:
    """Write a report on which pairs decided the answers about a scene."""
    from pyg_relational.train.predict import explain

    run = Path(options["run"])
    output = Path(options["output"] or run / "explanation.html")
    for entry in explain(run, Path(options["input"]), output):
        target, source, moved = entry["pairs"][0]
        print(
            f"{entry['question']}: {entry['answer']} ({entry['probability']:.1%}), "
            f"most by {target} with {source} ({moved:+.2f})"
        )
    print(f"report: {output}")
    return 0


def tables_command(options: Options, argv: list[str]) -> int:
    """Render the recorded figures; with ``--check`` return 1 if a page differs."""
    from pyg_relational.train.results import update_pages

    check, records = options["check"], Path(options["records"])
    differ = update_pages(options["pages"], records, check)
    if check and differ:
        pages = ", ".join(f"'{page}'" for page in differ)
        print(
            f"{PROGRAM}: {pages} differs from '{records}'; run `{PROGRAM} tables`",
            file=sys.stderr,
        )
        return 1
    return 0


def share_command(options: Options, argv: list[str]) -> int:
    """Write the model of a run to a folder, or to the hub, and print where it is."""
    from pyg_relational.hub.share import push_to_hub, save_pretrained

    write = push_to_hub if options["push"] else save_pretrained
    place = write(Path(options["run"]), options["out"], licence=options["licence"])
    print(f"model: {place}")
    return 0


def doctor_command(options: Options, argv: list[str]) -> int:
    """Report the installation; return 1 if an operator is wrong on this machine."""
    from pyg_relational.cli.doctor import diagnose

    report, right = diagnose(options["device"])
    print(report)
    return 0 if right else 1


def convert_command(options: Options, argv: list[str]) -> int:
    """Convert files of scenes, print what came of them."""
    from pyg_relational.data.convert import Conversion, convert

    names = ("targets", "edge_type", "relations", "leave_out", "category", "unseen")
    out = Path(options["out"])
    how = Conversion(
        options={name: options[name] for name in names},
        schema=options["schema"] and Path(options["schema"]),
        split=tuple(options["split"]),
        seed=int(options["seed"]),
        bad=options["bad"],
        shard_size=int(options["shard_size"]),
        workers=int(options["workers"]),
        progress=sys.stderr.isatty(),
    )
    try:
        report = convert(Path(options["input"]), out, how)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return 1
    shares = ", ".join(f"{count} {name}" for name, count in report["splits"].items())
    print(f"{report['scenes']} scenes ({shares}), {len(report['bad'])} bad ones")
    print(f"dataset: {out}, report: {out / 'report.md'}")
    return 0


def benchmark_command(options: Options, argv: list[str]) -> int:
    """Run a benchmark with its own options, print its summary, or else JSON."""
    from pyg_relational.benchmarks import harness

    module = importlib.import_module(f"pyg_relational.benchmarks.{argv[1]}")
    try:
        harness.execute(module.run, options, getattr(module, "summary", None))
    except ValueError as error:
        raise UsageError(f"benchmark {argv[1]}: {error}") from error
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


COMMANDS = {
    "list": list_command,
    "train": train_command,
    "tune": tune_command,
    "evaluate": evaluate_command,
    "predict": predict_command,
    "explain": explain_command,
    "tables": tables_command,
    "convert": convert_command,
    "share": share_command,
    "doctor": doctor_command,
    "benchmark": benchmark_command,
}
