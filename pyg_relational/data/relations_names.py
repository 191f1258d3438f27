"""Predicates by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyg_relational.data.predicates import (
    above,
    below,
    between,
    inside,
    larger,
    left_of,
    near,
    overlapping,
    right_of,
    same,
    smaller,
    touching,
)
from pyg_relational.data.relations_pairs import Predicate
from pyg_relational.ops.checks import check_choice

NAMED: dict[str, Callable[[], Predicate]] = {
    "above": above,
    "below": below,
    "between": between,
    "inside": inside,
    "larger": larger,
    "left_of": left_of,
    "overlapping": overlapping,
    "right_of": right_of,
    "smaller": smaller,
    "touching": touching,
}
_OF_ATTRIBUTE: dict[str, Callable[[str], Predicate]] = {
    "same": same,
    "larger": larger,
    "smaller": smaller,
}


def named_predicates(names: Sequence[str | Predicate]) -> list[Predicate]:
    r"""Finds predicates by their names, with their default arguments.

    Args:
        names (list of str or Predicate): Names of :obj:`NAMED`, :obj:`"same_color"`,
            :obj:`"larger_age"`, :obj:`"smaller_age"` for any attribute, or predicates,
            which are taken as they are.

    Raises:
        ValueError: If a name is unknown or repeats.
        TypeError: If an entry is neither a name nor a predicate, or a string is given
            instead of a list.
    """
    if isinstance(names, str | Predicate):
        raise TypeError(f"'predicates' must be a list (got {names!r}); pass [...]")
    found = [_named(name) for name in names]
    every = [item.name for item in found]
    for name in every:
        if every.count(name) > 1:
            raise ValueError(
                f"'predicates' must have different names (got '{name}' "
                f"{every.count(name)} times); rename one with "
                f"'dataclasses.replace(predicate, name=...)'"
            )
    return found


def _named(name: str | Predicate) -> Predicate:
    if isinstance(name, Predicate):
        return name
    if not isinstance(name, str):
        hint = "; call it" if name in [*NAMED.values(), near, same] else ""
        raise TypeError(
            f"'predicates' must hold names or predicates (got {name!r}){hint}"
        )
    if name == "near":
        raise ValueError(
            "'near' needs a distance; pass 'near(distance)' of "
            "pyg_relational.data.predicates instead of its name"
        )
    kind, _, attribute = name.partition("_")
    if attribute and kind in _OF_ATTRIBUTE:
        return _OF_ATTRIBUTE[kind](attribute)
    check_choice(name, [*NAMED, "same_<attribute>"], "predicates")
    return NAMED[name]()
