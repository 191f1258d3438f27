"""Which objects form a set, and sets that are asked several questions."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyg_relational.nn.checks import check_device
from pyg_relational.ops import batch_to_ptr, gather_sets, ptr_to_batch
from pyg_relational.ops.checks import check_ptr, check_vector


class Sets(NamedTuple):
    r"""Sets of objects, as layers and models take them: all of their :meth:`forward`
    have these arguments, in this order, as far as they read them.

    Args:
        x (torch.Tensor): Objects (the nodes of graphs), shape :math:`[N, F]`.
        edge_index (torch.Tensor, optional): The pairs that are related, from sources to
            targets, shape :math:`[2, E]`; by default all ordered pairs of each set,
            which are then not listed. (default: :obj:`None`)
        edge_attr (torch.Tensor, optional): Features of the pairs, shape
            :math:`[E, D]`; they need :obj:`edge_index`. (default: :obj:`None`)
        u (torch.Tensor, optional): What the pairs of a set share, one row for each set,
            or one for each question, shape :math:`[B, U]` or :math:`[Q, U]`.
            (default: :obj:`None`)
        batch (torch.Tensor, optional): The set of each object, ascending, shape
            :math:`[N]`; one set by default. (default: :obj:`None`)
        batch_size (int, optional): The number of sets :math:`B`; needed where the last
            of them may be empty. (default: :obj:`None`)
        u_batch (torch.Tensor, optional): The set that each row of :obj:`u` asks about,
            shape :math:`[Q]`, which :obj:`DataLoader(..., follow_batch=["u"])` makes;
            by default row :math:`s` asks about set :math:`s`. (default: :obj:`None`)
    """

    x: Tensor
    edge_index: Tensor | None = None
    edge_attr: Tensor | None = None
    u: Tensor | None = None
    batch: Tensor | None = None
    batch_size: int | None = None
    u_batch: Tensor | None = None


def set_ptr(
    batch: Tensor | None,
    num_rows: int,
    batch_size: int | None,
    device: torch.device,
    names: tuple[str, str] = ("batch", "batch_size"),
    rows: str = "x",
) -> Tensor:
    r"""Returns set boundaries :math:`[B + 1]` from the set of each row; one set
    without :obj:`batch`."""
    if batch is None:
        if batch_size not in (None, 1):
            raise ValueError(
                f"'{names[0]}' is missing; '{names[1]}={batch_size}' needs the set of "
                f"each row (got None)"
            )
        return torch.tensor([0, num_rows], device=device)
    check_owners(batch, num_rows, device, names[0], rows)
    return batch_to_ptr(batch, batch_size, names)


def check_owners(
    batch: Tensor, num_rows: int, device: torch.device, name: str, rows: str = "x"
) -> None:
    r"""Raises an error unless each row has a number, without reading values."""
    check_vector(batch, name)
    if batch.numel() != num_rows:
        raise ValueError(
            f"'{name}' must name the set of each of the {num_rows} rows of '{rows}' "
            f"(got {batch.numel()} entries)"
        )
    check_device(batch, device, name, f"'{rows}'")


def check_rows_of(x: Tensor, dim: int) -> None:
    r"""Raises an error unless an aggregation is given rows, :math:`[N, F]`."""
    if x.dim() != 2:
        raise ValueError(f"'x' must have shape [N, F] (got shape {list(x.shape)})")
    if dim not in (0, -2):
        raise ValueError(
            f"'dim' must be -2 or 0, the dimension of the rows of 'x' (got {dim})"
        )


def read_sets(
    x: Tensor,
    index: Tensor | None,
    ptr: Tensor | None,
    dim_size: int | None,
    edge_index: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    r"""Finds the sets of an aggregation's rows, in whichever way it was told."""
    if ptr is None:
        if index is not None:
            check_owners(index, x.size(0), x.device, "index")
        x, index, edge_index, order = sort_rows(x, index, edge_index)
        ptr = batch_to_ptr(index, dim_size, ("index", "dim_size"))
        return x, ptr, edge_index, order
    check_vector(ptr, "ptr")
    check_device(ptr, x.device, "ptr", "'x'")
    if not torch.compiler.is_compiling():
        check_ptr(ptr, x.size(0), "ptr")
    return x, ptr, edge_index, None


def sort_rows(
    x: Tensor, index: Tensor | None, edge_index: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    r"""Brings the rows of each set together, as a convolution that aggregates its
    messages may leave them scattered."""
    if index is None:
        zeros = torch.zeros(x.size(0), dtype=torch.long, device=x.device)
        return x, zeros, edge_index, None
    if not torch.compiler.is_compiling() and not bool((index.diff() < 0).any()):
        return x, index, edge_index, None
    index, order = index.sort(stable=True)
    if edge_index is not None:
        edge_index = order.argsort()[edge_index]
    return x.index_select(0, order), index, edge_index, order


def repeat_sets(
    ptr: Tensor, index: Tensor, edge_index: Tensor | None, edge_attr: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    r"""Repeats sets and the edges inside them."""
    rows, out_ptr = gather_sets(ptr, index)
    if edge_index is None:
        return rows, out_ptr, None, None
    owner = ptr_to_batch(ptr)[edge_index[1]]
    order = owner.argsort(stable=True)
    edge_ptr = batch_to_ptr(owner[order], ptr.numel() - 1)
    kept, edge_ptr = gather_sets(edge_ptr, index)
    kept = order[kept]
    shift = (out_ptr[:-1] - ptr[index])[ptr_to_batch(edge_ptr)]
    edge_attr = None if edge_attr is None else edge_attr[kept]
    return rows, out_ptr, edge_index[:, kept] + shift, edge_attr


def check_shared(u: Tensor | None, num_sets: int) -> None:
    r"""Raises a :class:`ValueError` unless :obj:`u` has a row for each set."""
    if u is not None and u.size(0) != num_sets:
        raise ValueError(
            f"'u' must have one row per set (got {u.size(0)} rows for {num_sets} sets)"
        )


def check_questions(u: Tensor, u_batch: Tensor | None, num_sets: int) -> None:
    r"""Raises a :class:`ValueError` unless each row of :obj:`u` belongs to a set."""
    if u_batch is None:
        if u.size(0) != num_sets:
            raise ValueError(
                f"'u' must have one row per set (got {u.size(0)} rows for "
                f"{num_sets} sets); for several questions a set pass 'u_batch', "
                f"which DataLoader(..., follow_batch=['u']) makes"
            )
        return
    check_vector(u_batch, "u_batch")
    check_device(u_batch, u.device, "u_batch", "'u'")
    if u_batch.numel() != u.size(0):
        raise ValueError(
            f"'u_batch' must name the set of each row of 'u' (got "
            f"{u_batch.numel()} entries for {u.size(0)} rows)"
        )
    if u_batch.numel() and not torch.compiler.is_compiling():
        low, high = torch.stack(u_batch.aminmax()).tolist()
        if low < 0 or high >= num_sets:
            raise ValueError(
                f"'u_batch' must name sets 0 to {num_sets - 1} (got {low} to {high})"
            )


def ask(
    x: Tensor,
    ptr: Tensor,
    u: Tensor,
    u_batch: Tensor | None,
    edge_index: Tensor | None = None,
    edge_attr: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    r"""Appends what each set is asked to its objects; a set that is asked several
    questions is repeated for each."""
    check_questions(u, u_batch, ptr.numel() - 1)
    if u_batch is not None:
        rows, ptr, edge_index, edge_attr = repeat_sets(
            ptr, u_batch, edge_index, edge_attr
        )
        x = x.index_select(0, rows)
    asked = u.index_select(0, ptr_to_batch(ptr, x.size(0)))
    return torch.cat([x, asked], dim=-1), ptr, edge_index, edge_attr
