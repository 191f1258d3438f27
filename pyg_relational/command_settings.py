"""The settings that a command line and its configuration files give, and the name of
what runs with them."""

import json
from pathlib import Path
from typing import Any

from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import parse_yaml, read_yaml

Options = dict[str, Any]


def check_config_files(argv: list[str]) -> None:
    """Check that configuration files can be read, before the parser does, which follows
    references without end.

    Args:
        argv (list[str]): Arguments without the program's name.

    Raises:
        UsageError: If one is no YAML file of plain values, or allows modules.
    """
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
    line.

    Args:
        options (dict): The options of the command.
        argv (list[str]): Arguments without the program's name.
    """
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
    from.

    Args:
        options (dict): The options of the command.
    """
    # YAML cannot write the parser's restricted number types, nor JSON its dates.
    names = [name for name in options if name != "config"]
    return dict(json.loads(json.dumps({n: options[n] for n in names}, default=str)))


def run_name(config: dict[str, Any], options: Options) -> str:
    """Return the name of a run; size and representation appear where chosen.

    Args:
        config (dict): The resolved configuration.
        options (dict): The options of ``train``.
    """
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
