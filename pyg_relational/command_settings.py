"""The settings that a command line and its configuration files give."""

import json
from pathlib import Path
from typing import Any

import yaml

Options = dict[str, Any]


def given_settings(options: Options, argv: list[str]) -> Options:
    """Return the settings of configuration files, and over them those of the command
    line.

    Args:
        options (dict): The options of the command.
        argv (list[str]): Arguments without the program's name.
    """
    found: Options = {}
    for path in options["config"] or ():
        content = yaml.safe_load(Path(str(path)).read_text()) or {}
        found |= _numbers(content.get("set") or {})
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == "--set":
            found |= _numbers(yaml.safe_load(value if equals else following) or {})
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


def _numbers(settings: Options) -> Options:
    """Settings with numbers such as 1e-3, which YAML takes for text."""
    numbers = {}
    for key, value in settings.items():
        try:
            numbers[key] = float(value) if isinstance(value, str) else value
        except ValueError:
            numbers[key] = value
    return numbers
