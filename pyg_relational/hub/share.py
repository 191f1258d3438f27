"""Models to share: a folder or a repository of the Hugging Face hub with the weights, a
description of class and arguments, and a card.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from pyg_relational import models
from pyg_relational._checks import UsageError
from pyg_relational._extras import require
from pyg_relational._files import read_json
from pyg_relational.train.recipe import allowing
from pyg_relational.train.results import read_results, shown, test_columns
from pyg_relational.train.run_folder import load_model, read_config, save_model
from pyg_relational.train.weights import (
    PICKLES,
    check_no_pickle,
    load_weights,
    without_checksum,
)

# The card of a shared model: what it is, what it was trained on, how well it does.


UNKNOWN = "not recorded"


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what a card states of a run."""
    config = read_config(folder)
    finished = (folder / "results.json").is_file()
    # Where the data lies is nobody's business.
    data = {key: x for key, x in config["dataset"].items() if key != "root"}
    return {
        "recipe": config["recipe"],
        "data": data,
        "seed": config["seed"],
        "command": config.get("command"),
        "versions": config.get("versions"),
        "results": read_results(folder) if finished else None,
    }


def card_text(spec: dict[str, Any], facts: dict[str, Any]) -> str:
    """Return a card in Markdown, without its front matter."""
    place, _, name = spec["class"].rpartition(".")
    allow = f', allow=["{place}"]' if place else ""
    rows = {
        "Model": _class_text(place, name),
        "Arguments": _code(spec["args"]),
        "Data": _data(facts.get("data")),
        "Recipe": _code(facts.get("recipe")),
        "Seed": _code(facts.get("seed")),
        "Command": _code(facts.get("command")),
        "Versions": _versions(facts.get("versions")),
        "Licence": facts.get("licence") or "not stated",
    }
    lines = [f"# {name}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    lines += ["", "## Test figures", "", *_figures(facts.get("results"))]
    lines += [
        "",
        "## Use",
        "```python",
        "from pyg_relational.hub.share import load_pretrained",
        "",
        f'model = load_pretrained("this folder, or owner/name on the hub"{allow})',
        "```",
        "Weights are safetensors and the description is JSON: loading runs no code of",
        "this repository.",
    ]
    return "\n".join(lines) + "\n"


def _class_text(place: str, name: str) -> str:
    return f"`{name}` of `{place or 'pyg_relational.models'}`"


def _figures(results: dict[str, Any] | None) -> list[str]:
    if results is None:
        return [f"{UNKNOWN.capitalize()}."]
    test, metric = results["test"], results["metric"]
    baseline = results.get("baseline")
    names = ["this model", *([f"baseline ({baseline['model']})"] if baseline else [])]
    unit = "accuracy in %" if metric == "accuracy" else metric.replace("_", " ")
    lines = [
        f"One run, test split, {unit}.",
        "",
        f"| | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for grouping, name in test_columns(test):
        values = [test[grouping][name][who] for who in ("ours", "baseline")]
        cells = [shown(x, metric, grouping) for x in values[: len(names)]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _data(data: dict[str, Any] | None) -> str:
    if data is None:
        return UNKNOWN
    return f"`{data['class']}` of `pyg_relational.datasets`, {_code(data['args'])}"


def _versions(versions: dict[str, str] | None) -> str:
    if not versions:
        return UNKNOWN
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _code(value: Any) -> str:
    if value is None:
        return UNKNOWN
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A bar would end the cell of a table.
    return f"`{text}`".replace("|", "\\|").replace("\n", " ")


huggingface_hub: Any = require("huggingface_hub", "hub")

CONFIG, WEIGHTS = "config.json", "model.safetensors"
REMEDY = "fetch it again"
TAGS = ["pytorch-geometric", "relational-reasoning"]
Source = str | Path | nn.Module


class SharedModel(huggingface_hub.PyTorchModelHubMixin):
    """A model with what another person needs to use it, as the hub's mixin takes it.

    Args:
        model (nn.Module): The model.
        spec (dict): Its ``class`` (str) and ``args`` (dict), written to
            ``config.json``.
        facts (dict): What the card states, from
            :func:`~pyg_relational.hub.share.read_facts`. (default: ``{}``)
    """

    def __init__(
        self,
        model: nn.Module,
        spec: dict[str, Any],
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.spec, self.facts = model, spec, facts or {}
        self._hub_mixin_config = spec

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(save_directory, self.model, self.spec)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> Any:
        """Return the card, whose front matter the hub reads."""
        data = huggingface_hub.ModelCardData(
            license=self.facts.get("licence"),
            library_name="pyg-relational",
            tags=TAGS,
        )
        text = card_text(self.spec, self.facts)
        return huggingface_hub.ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, **options: Any
    ) -> "SharedModel":
        """As :func:`load_pretrained`, with the description of the model."""
        source = pretrained_model_name_or_path
        if Path(source).exists():
            folder = _checked_folder(Path(source))
        else:
            folder = _download(str(source), options)
        spec = read_json(folder / CONFIG)
        model = load_weights(folder / WEIGHTS, spec, REMEDY)
        return cls(model, without_checksum(spec))

    @classmethod
    def _load_as_pickle(cls, *args: Any, **kwargs: Any) -> Any:
        raise UsageError("pickled weights are refused; ask for 'model.safetensors'")


def save_pretrained(
    source: Source,
    folder: str | Path,
    *,
    args: dict[str, Any] | None = None,
    licence: str | None = None,
) -> Path:
    """Write a model to a folder: ``model.safetensors``, ``config.json``, ``README.md``.

    Args:
        source (str, Path or nn.Module): A run folder, whose data, seed, figures and
            command the card states, or a model.
        folder (str or Path): Where to write; empty or not there.
        args (dict, optional): The arguments that a model given as such was constructed
            with; one of another package needs :func:`load_pretrained` with ``allow``.
            (default: ``None``)
        licence (str, optional): The licence of the weights as the hub names it, such as
            ``"mit"``. (default: ``None``, which the card says)

    Returns:
        Path: The folder.

    Raises:
        UsageError: If the folder is not empty, the run is not finished, or ``args`` is
            missing or builds another model.
    """
    folder, shared = Path(folder), _shared(source, args, licence)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"'{folder}' is not an empty folder; choose another")
    shared.save_pretrained(folder)
    # What cannot be loaded is not shared, such as a model built with other arguments.
    with allowing([type(shared.model).__module__]):
        remedy = "pass the arguments it was built with"
        load_weights(folder / WEIGHTS, shared.spec, remedy)
    return folder


def load_pretrained(
    source: str | Path, *, allow: Sequence[str] = (), **options: Any
) -> nn.Module:
    """Load a model from a folder, or from a repository of the hub.

    Only classes of this package are built and only safetensors are read, so that
    nothing of the source is run. A folder is read without the network.

    Args:
        source (str or Path): A folder with ``config.json`` and ``model.safetensors``,
            such as a run folder, or a repository ``"owner/name"``.
        allow (list of str): Modules whose classes the source may name too, such as
            ``["my_package.models"]``; they are imported, which runs their code.
            (default: ``()``)
        **options: As ``huggingface_hub.hf_hub_download`` takes them: ``revision``,
            ``token``, ``cache_dir``, ``local_files_only``, ``force_download``.

    Returns:
        nn.Module: The model in evaluation mode.

    Raises:
        UsageError: If there is no such folder or repository, its weights are a pickle,
            a file is damaged, or it names a class that is not allowed.
    """
    if isinstance(allow, str):
        raise UsageError(f"'allow' must be a list of modules, such as [{allow!r}]")
    with allowing(allow):
        return SharedModel.from_pretrained(source, **options).model


def push_to_hub(
    source: Source,
    repo_id: str,
    *,
    args: dict[str, Any] | None = None,
    licence: str | None = None,
    **options: Any,
) -> str:
    """Write a model to a repository of the hub.

    Args:
        source (str, Path or nn.Module): As for :func:`save_pretrained`.
        repo_id (str): The repository, ``"owner/name"``; made where it is missing.
        args (dict, optional): As for :func:`save_pretrained`. (default: ``None``)
        licence (str, optional): As for :func:`save_pretrained`. (default: ``None``)
        **options: As ``huggingface_hub.PyTorchModelHubMixin.push_to_hub`` takes them:
            ``commit_message``, ``private``, ``token``, ``branch``, ``create_pr``.

    Returns:
        str: Where the commit is.
    """
    return str(_shared(source, args, licence).push_to_hub(repo_id, **options))


def _shared(
    source: Source, args: dict[str, Any] | None, licence: str | None
) -> SharedModel:
    if isinstance(source, nn.Module):
        if args is None:
            raise UsageError(
                f"a {type(source).__name__} does not know the arguments it was "
                "constructed with; pass them as 'args', a dictionary"
            )
        spec = {"class": _name_of(type(source)), "args": args}
        return SharedModel(source, spec, {"licence": licence})
    folder = Path(source)
    model, spec = load_model(folder), read_config(folder)["model"]
    return SharedModel(model, spec, {**read_facts(folder), "licence": licence})


def _name_of(kind: type[nn.Module]) -> str:
    """How a description names a class: those of others with their module."""
    ours = getattr(models, kind.__name__, None) is kind
    return kind.__name__ if ours else f"{kind.__module__}.{kind.__name__}"


def _checked_folder(folder: Path) -> Path:
    if not folder.is_dir():
        check_no_pickle(folder)
        raise UsageError(f"'{folder}' is a file; give the folder that it lies in")
    if not (folder / WEIGHTS).is_file():
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix in PICKLES:
                check_no_pickle(path)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UsageError(f"'{folder}' has no {name}: it holds no shared model")
    return folder


def _download(repo_id: str, options: dict[str, Any]) -> Path:
    errors = huggingface_hub.errors
    try:
        paths = [
            huggingface_hub.hf_hub_download(repo_id, name, **options)
            for name in (CONFIG, WEIGHTS)
        ]
    except errors.HFValidationError as error:
        raise UsageError(
            f"'{repo_id}' is neither a folder nor a repository ('owner/name') of the "
            f"hub: {error}"
        ) from error
    except (errors.EntryNotFoundError, errors.LocalEntryNotFoundError) as error:
        raise UsageError(
            f"'{repo_id}' lacks {CONFIG} or {WEIGHTS}, or they cannot be reached "
            f"({str(error).strip().partition(chr(10))[0]}). Pickled weights such as "
            "pytorch_model.bin are refused: reading them may run any code; ask the "
            "author to save them as safetensors"
        ) from error
    except errors.HfHubHTTPError as error:
        raise UsageError(f"cannot fetch '{repo_id}' from the hub: {error}") from error
    return Path(paths[0]).parent
