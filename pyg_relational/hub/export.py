"""Trained networks as programs: ``torch.export`` for graphs of any number and size."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch_geometric.data import Data

from pyg_relational.models import RelationalMemoryNetwork
from pyg_relational.nn.recurrent import SequenceEncoder


def export_model(
    model: nn.Module, example: Data | Mapping[str, Tensor]
) -> ExportedProgram:
    r"""Exports a network as a program that takes other numbers of objects, edges,
    questions and graphs than the example.

    ``program.module()(x=x, batch=batch, ...)`` runs it with the inputs of the example
    by name. How many graphs there are, the rows of ``u`` say where each graph has one,
    or else ``ptr``, which every batch of PyG has:

    .. code-block:: python

        program = export_model(model, batch)
        torch.export.save(program, "model.pt2")
        program.module()(x=batch.x, batch=batch.batch, ptr=batch.ptr)

    To run a saved program, import :mod:`pyg_relational.ops` first: the operators over
    all pairs are part of it. A program checks no values: its inputs must be finite and
    ``batch`` sorted. There is no program where values of the inputs set the size of
    something: for a score of every pair that no edge lists, for answers padded to the
    largest graph, and for networks that read sequences step by step, such as
    :class:`~pyg_relational.models.R2N2`: how many steps they take the longest sequence
    says.

    Args:
        model (torch.nn.Module): The network, exported in evaluation mode.
        example (Data or dict of torch.Tensor): Inputs by name, at least two graphs of
            several objects. Of a ``Data`` object those that the network takes.

    Returns:
        torch.export.ExportedProgram: The program.

    Raises:
        ValueError: The example lacks an input or is too small, or the network cannot
            be exported with such inputs.
    """
    _check_loops(model)
    inputs = _inputs(model, example)
    was_training = model.training
    try:
        with torch.no_grad():
            program = _Program(model.eval(), inputs)
            return torch.export.export(
                program,
                (),
                inputs,
                dynamic_shapes={x: {_changing(x): Dim.DYNAMIC} for x in inputs},
                strict=False,
            )
    except _Unfit:
        raise
    # Whatever the exporter fails with: it has no exception of its own.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{type(model).__name__} cannot be exported with the inputs "
            f"{', '.join(inputs)}: the exporter stops at values or sizes that only the "
            f"example has ({type(error).__name__}: {reason}). List pairs by "
            f"'edge_index', or choose an output with a row for each object or graph"
        ) from error
    finally:
        model.train(was_training)


def _check_loops(model: nn.Module) -> None:
    for part in model.modules():
        if isinstance(part, (SequenceEncoder, RelationalMemoryNetwork)):
            raise ValueError(
                f"{type(model).__name__} cannot be exported: its "
                f"{type(part).__name__} takes as many steps as the longest sequence "
                f"has, which only the values of the inputs say, and a program has no "
                f"loop of that kind. Run the network itself, as "
                f"'pyg_relational.hub.share.load_pretrained' returns it"
            )


class _Unfit(ValueError):
    """The network itself refuses the example."""


class _Program(nn.Module):
    """A network whose inputs have names, and whose number of graphs is a size."""

    def __init__(self, model: nn.Module, inputs: dict[str, Tensor]) -> None:
        super().__init__()
        self.model, self.spare = model, False
        keyword = inspect.Parameter.KEYWORD_ONLY

        def forward(**inputs: Tensor) -> Any:
            return self.run(inputs)

        # The exporter names the inputs of a program after its signature.
        forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, keyword) for name in inputs]
        )
        self.forward = forward
        try:
            rows = _rows(self.run(inputs))
        except ValueError as error:
            raise _Unfit(str(error)) from error
        if "ptr" in inputs:
            graphs = inputs["ptr"].numel() - 1
            given = {name: x for name, x in inputs.items() if name != "ptr"}
            self.spare = rows != _rows(model(**given, batch_size=graphs))

    def run(self, inputs: dict[str, Tensor]) -> Any:
        given = {name: x for name, x in inputs.items() if name != "ptr"}
        if "ptr" not in inputs:
            graphs = {"batch_size": inputs["u"].size(0)} if "batch" in inputs else {}
            return self.model(**given, **graphs)
        # One empty graph too many: the exporter takes sizes of one for a special case,
        # and the length of `ptr` is at least two.
        out = self.model(**given, batch_size=inputs["ptr"].size(0))
        if not self.spare:
            return out
        kept = torch.arange(out.size(0), device=out.device) < out.size(0) - 1
        return out[kept]


def _inputs(
    model: nn.Module, example: Data | Mapping[str, Tensor]
) -> dict[str, Tensor]:
    taken = inspect.signature(model.forward).parameters
    given = example.to_dict() if isinstance(example, Data) else dict(example)
    inputs = {
        name: value
        for name, value in given.items()
        if name in taken and isinstance(value, Tensor)
    }
    strangers = set(given) - set(inputs) - {"ptr"}
    if strangers and not isinstance(example, Data):
        raise ValueError(
            f"'example' holds {sorted(strangers)}, which {type(model).__name__} does "
            f"not take as tensors; it takes {', '.join(taken)}, and 'ptr' instead of "
            f"'batch_size'"
        )
    if "batch" in inputs and ("u" not in inputs or "u_batch" in inputs):
        if "ptr" not in given:
            raise ValueError(
                "'example' has 'batch', but nothing says how many graphs there are: "
                "add 'ptr' (that of a PyG batch, or "
                "'pyg_relational.ops.batch_to_ptr(batch, batch_size)')"
            )
        inputs["ptr"] = given["ptr"]
    for name, value in inputs.items():
        if value.size(_changing(name)) < (3 if name == "ptr" else 2):
            raise ValueError(
                f"'{name}' of 'example' has shape {list(value.shape)}; the program "
                f"would be for this size only, give at least two graphs of several "
                f"objects"
            )
    return inputs


def _changing(name: str) -> int:
    """The dimension along which graphs are joined."""
    return 1 if Data().__cat_dim__(name, None) == -1 else 0


def _rows(out: Any) -> int:
    if not isinstance(out, Tensor):
        raise ValueError(
            f"a program answers with one tensor, not {type(out).__name__}; leave out "
            f"what asks for more, such as 'return_attention_weights'"
        )
    return out.size(0)
