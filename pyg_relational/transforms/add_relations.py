from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform

from pyg_relational._checks import check_name
from pyg_relational.data.predicates import named_predicates
from pyg_relational.data.relations import (
    Columns,
    Predicate,
    pair_relations,
    set_boundaries,
    triple_relations,
    typed_edges,
)
from pyg_relational.ops import ptr_to_batch


class AddRelations(BaseTransform):
    r"""Adds symbolic relations between the objects of a set, as labels to learn or as
    typed edges.

    Every ordered pair of different objects of a graph is looked at, never one across
    the graphs of a batch: time and memory are quadratic in the size of a set, cubic
    with predicates of three objects. Pairs are read from source to target:
    :obj:`larger` at :math:`(a, b)` says that the source :math:`a` is the larger one.
    Works on single graphs and on batches, which can be taken apart again.

    Args:
        predicates (list of str or Predicate): Names such as :obj:`"larger"`,
            :obj:`"left_of"`, :obj:`"same_color"`, or predicates of
            :mod:`pyg_relational.data.predicates` or one's own.
        columns (dict or list of str): For each attribute its column of :obj:`x`, a
            list of columns, or the name of another tensor of the data such as
            :obj:`"pos"`; or the names of all columns of :obj:`x`.
        as_ (str): :obj:`"labels"` adds all pairs and whether each predicate holds,
            :obj:`"edges"` the pairs in which one does. (default: :obj:`"labels"`)

    Shapes:
        - **input:** objects :obj:`x` :math:`(N, F)`
        - **output, labels:** :obj:`edge_label_index` :math:`(2, P)` and
          :obj:`edge_label` :math:`(P, R)`, 1 or 0, a column for each of :obj:`names`;
          for predicates of three objects :obj:`triple_label_index` :math:`(3, T)` and
          :obj:`triple_label` :math:`(T, R_3)`, a column for each of
          :obj:`triple_names`
        - **output, edges:** :obj:`edge_index` :math:`(2, E)` and :obj:`edge_type`
          :math:`(E)`, the number of the predicate in :obj:`names`; several edges join
          a pair in which several hold

    Raises:
        ValueError: If a name is unknown or repeats, three objects are to make an edge,
            the data has such labels or edges already, or an attribute is missing.
        TypeError: If an entry of :obj:`predicates` or :obj:`columns` is of no use.
    """

    def __init__(
        self,
        predicates: Sequence[str | Predicate],
        columns: Columns,
        as_: str = "labels",
    ) -> None:
        check_name("as_", as_, ["labels", "edges"])
        found = named_predicates(predicates)
        self.predicates = [item for item in found if item.arity == 2]
        self.triple_predicates = [item for item in found if item.arity == 3]
        self.columns, self.as_ = columns, as_
        if as_ == "edges" and self.triple_predicates:
            raise ValueError(
                f"'{self.triple_predicates[0].name}' is about three objects, and an "
                f"edge joins two; use as_='labels'"
            )

    @property
    def names(self) -> list[str]:
        r"""The names of the predicates of two objects, in order."""
        return [item.name for item in self.predicates]

    @property
    def triple_names(self) -> list[str]:
        r"""The names of the predicates of three objects, in order."""
        return [item.name for item in self.triple_predicates]

    def forward(self, data: Data) -> Data:
        r"""Adds to a copy."""
        if self.as_ == "edges":
            index, holds = pair_relations(data, self.predicates, self.columns)
            index, kind = typed_edges(index, holds)
            return _add(data, {"edge_index": index, "edge_type": kind}, self.as_)
        new = {}
        for name, items, relate in (
            ("edge", self.predicates, pair_relations),
            ("triple", self.triple_predicates, triple_relations),
        ):
            if items:
                index, holds = relate(data, items, self.columns)
                new[f"{name}_label_index"] = index
                new[f"{name}_label"] = holds.float()
        return _add(data, new, self.as_)

    def __repr__(self) -> str:
        names = [*self.names, *self.triple_names]
        return f"{self.__class__.__name__}({names}, as_={self.as_!r})"


def _add(data: Data, new: dict[str, Tensor], as_: str) -> Data:
    for name in new:
        if data.get(name) is not None:
            other = "labels" if as_ == "edges" else "edges"
            raise ValueError(
                f"'{name}' is there already; name all predicates in one AddRelations, "
                f"delete it first, or use as_='{other}'"
            )
    for name, value in new.items():
        data[name] = value
    if isinstance(data, Batch) and hasattr(data, "_slice_dict"):
        _tell_slices(data, new)
    return data


def _tell_slices(batch: Batch, new: dict[str, Tensor]) -> None:
    """Notes which rows belong to which graph, so that a batch can be taken apart."""
    ptr = set_boundaries(batch)
    graph_of = ptr_to_batch(ptr)
    slices, increments = {}, {}
    graph = graph_of[:0]
    for name, value in new.items():
        shift = torch.zeros_like(ptr[:-1])
        if name.endswith("index"):
            graph, shift = graph_of[value[0]], ptr[:-1]
        count = torch.bincount(graph, minlength=ptr.numel() - 1)
        slices[name] = torch.nn.functional.pad(count.cumsum(0), (1, 0)).cpu()
        increments[name] = shift.cpu()
    # New dictionaries: the copy shares those of the original batch.
    batch._slice_dict = {**batch._slice_dict, **slices}
    batch._inc_dict = {**batch._inc_dict, **increments}
