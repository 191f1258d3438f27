"""Predicates over all pairs or triples of the objects of each set of a batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_relational.data.relations_columns import Columns, Objects, attribute_table
from pyg_relational.ops import batch_to_ptr, fully_connected_edges


@dataclass(frozen=True)
class Predicate:
    r"""A named statement :math:`r(a, b)` or :math:`r(a, b, c)` about objects, which
    holds or not.

    Args:
        name (str): What it is called.
        arity (int): The number of objects it is about, 2 or 3.
        function (callable): Takes :class:`Objects` for each place, for all pairs (or
            triples) at once, and returns whether it holds in each, a boolean tensor
            :math:`[P]`.

    Raises:
        ValueError: If the name is empty, the arity is neither 2 nor 3, or the function
            returns anything but a truth value a pair.
        TypeError: If the function cannot be called, or a predicate is called with
            another number of places.

    .. code-block:: python

        heavier = Predicate("heavier", 2, lambda a, b: a["weight"] > b["weight"])
    """

    name: str
    arity: int
    function: Callable[..., Tensor]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"'name' must be a non-empty string (got {self.name!r})")
        if self.arity not in (2, 3):
            raise ValueError(f"'arity' must be 2 or 3 (got {self.arity!r})")
        if not callable(self.function):
            raise TypeError(
                f"'function' must be callable (got {type(self.function).__name__})"
            )

    def __call__(self, *objects: Objects) -> Tensor:
        if len(objects) != self.arity:
            raise TypeError(
                f"predicate '{self.name}' is about {self.arity} objects (got "
                f"{len(objects)})"
            )
        holds = self.function(*objects)
        shape = (len(objects[0]),)
        if not isinstance(holds, Tensor):
            got = type(holds).__name__
        elif holds.dtype != torch.bool or holds.shape != shape:
            got = f"{holds.dtype} of shape {list(holds.shape)}"
        else:
            return holds
        raise ValueError(
            f"predicate '{self.name}' must return a boolean tensor of shape "
            f"{list(shape)}, one truth value a pair or triple (got {got}); compare "
            f"numbers, and reduce several columns with '.all(dim=1)'"
        )


def predicate(function: Callable[..., Tensor]) -> Predicate:
    r"""Turns a function of two or three :class:`Objects` into a :class:`Predicate` of
    the same name, as a decorator.

    Args:
        function (callable): As in :class:`Predicate`; each parameter is a place.

    .. code-block:: python

        @predicate
        def heavier(a, b):
            return a["weight"] > b["weight"]
    """
    return Predicate(
        function.__name__, len(inspect.signature(function).parameters), function
    )


def pair_relations(
    data: Data,
    predicates: Sequence[Predicate],
    columns: Columns,
    self_pairs: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Tells which predicates hold for each ordered pair of objects of each graph.

    Pairs are read from source to target: :obj:`larger` at the pair :math:`(a, b)` says
    that the source :math:`a` is larger than the target :math:`b`. There are
    :math:`n (n - 1)` pairs in a set of :math:`n` objects, none across graphs; time and
    memory grow with their number. A comparison with an unknown value (NaN) does not
    hold.

    Args:
        data (Data): A graph, or a batch of them.
        predicates (list of Predicate): The predicates, each about two objects.
        columns (dict or list of str): Where the attributes are, as in
            :func:`attribute_table`.
        self_pairs (bool): Whether to include the pairs :math:`(a, a)`.
            (default: :obj:`False`)

    Returns:
        (torch.Tensor, torch.Tensor): The pairs :math:`[2, P]`, sorted by target and
        then by source, and whether each of :math:`R` predicates holds, boolean
        :math:`[P, R]`.

    Raises:
        ValueError: If a predicate is not about two objects, or reads an attribute that
            no column holds.
    """
    index = fully_connected_edges(set_boundaries(data), self_pairs)
    return index, _evaluate(data, predicates, columns, index)


def triple_relations(
    data: Data, predicates: Sequence[Predicate], columns: Columns
) -> tuple[Tensor, Tensor]:
    r"""Tells which predicates hold for each ordered triple of different objects of each
    graph.

    There are :math:`n (n - 1) (n - 2)` of them in a set of :math:`n` objects: time and
    memory are cubic, a million triples for 100 objects.

    Args:
        data (Data): A graph, or a batch of them.
        predicates (list of Predicate): The predicates, each about three objects.
        columns (dict or list of str): Where the attributes are, as in
            :func:`attribute_table`.

    Returns:
        (torch.Tensor, torch.Tensor): The triples :math:`[3, T]` in lexical order, and
        whether each of :math:`R` predicates holds, boolean :math:`[T, R]`.

    Raises:
        ValueError: If a predicate is not about three objects, or reads an attribute
            that no column holds.
    """
    index = _all_triples(set_boundaries(data))
    return index, _evaluate(data, predicates, columns, index)


def typed_edges(index: Tensor, holds: Tensor) -> tuple[Tensor, Tensor]:
    r"""Keeps the pairs in which a predicate holds as edges, one for each predicate that
    does.

    Args:
        index (torch.Tensor): The pairs, shape :math:`[2, P]`.
        holds (torch.Tensor): Whether each predicate holds, boolean :math:`[P, R]`.

    Returns:
        (torch.Tensor, torch.Tensor): :obj:`edge_index` :math:`[2, E]` in the order of
        the pairs, and :obj:`edge_type` :math:`[E]`, the number of the predicate.
    """
    pair, kind = holds.nonzero().unbind(1)
    return index[:, pair], kind


def set_boundaries(data: Data) -> Tensor:
    r"""Returns where the graphs of a batch begin and end among its objects,
    :math:`[B + 1]`; a graph that is no batch is one set.

    Args:
        data (Data): A graph, or a batch of them.
    """
    device = next((v.device for _, v in data if isinstance(v, Tensor)), None)
    if data.get("ptr") is not None:
        return data.ptr
    if data.get("batch") is not None:
        return batch_to_ptr(data.batch, getattr(data, "num_graphs", None))
    return torch.tensor([0, data.num_nodes or 0], device=device)


def _all_triples(ptr: Tensor) -> Tensor:
    size = ptr.diff()
    count = size**3
    n = size.repeat_interleave(count)
    before = count.cumsum(0) - count
    position = torch.arange(n.numel(), device=ptr.device)
    position -= before.repeat_interleave(count)
    places = [position // n**2, position // n % n, position % n]
    first, second, third = places
    different = (first != second) & (second != third) & (first != third)
    index = torch.stack(places) + ptr[:-1].repeat_interleave(count)
    return index[:, different]


def _evaluate(
    data: Data, predicates: Sequence[Predicate], columns: Columns, index: Tensor
) -> Tensor:
    for item in predicates:
        if not isinstance(item, Predicate) or item.arity != index.size(0):
            what = "pairs" if index.size(0) == 2 else "triples"
            got = (
                f"'{item.name}', which is about {item.arity}"
                if isinstance(item, Predicate)
                else repr(item)
            )
            raise ValueError(
                f"'predicates' of {what} must be of class Predicate, about "
                f"{index.size(0)} objects (got {got})"
            )
    table = attribute_table(data, columns)
    objects = [Objects(table, place) for place in index]
    holds = index.new_empty(index.size(1), len(predicates), dtype=torch.bool)
    for k, item in enumerate(predicates):
        holds[:, k] = item(*objects)
    return holds
