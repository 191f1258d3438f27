"""Models to share: a folder or a repository of the Hugging Face hub with the weights, a
description of class and arguments, and a card."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from pyg_relational import models
from pyg_relational.extras import require
from pyg_relational.model_card import card_text, read_facts
from pyg_relational.train.errors import UsageError
from pyg_relational.train.files import read_json
from pyg_relational.train.registry import allowing
from pyg_relational.train.run_folder import load_model, read_config, save_model
from pyg_relational.train.weights import (
    PICKLES,
    check_no_pickle,
    load_weights,
    without_checksum,
)

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
            :func:`~pyg_relational.model_card.read_facts`. (default: ``{}``)
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
