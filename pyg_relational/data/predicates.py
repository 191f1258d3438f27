"""Named predicates: what people say about two or three objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from pyg_relational._checks import check_name
from pyg_relational.data.relations import Attribute, Objects, Predicate


def larger(attribute: str = "size", margin: float = 0.0) -> Predicate:
    r"""A value of :math:`a` exceeds that of :math:`b`, by more than a margin:
    :math:`a - b > m`.

    With the same margin :func:`larger`, :func:`smaller` and the tolerance of
    :func:`same` share out all pairs: just one of them holds. Without a margin, equal
    values are neither larger nor smaller."""
    name = "larger" if attribute == "size" else f"larger_{attribute}"
    return Predicate(name, 2, _exceeds(attribute, None, margin))


def smaller(attribute: str = "size", margin: float = 0.0) -> Predicate:
    r"""The inverse of :func:`larger`: :math:`b - a > m`."""
    name = "smaller" if attribute == "size" else f"smaller_{attribute}"
    return _swapped(name, larger(attribute, margin))


def same(attribute: str, tolerance: float = 0.0) -> Predicate:
    r"""Two objects have the same value: no column of the attribute differs by more than
    a tolerance. With a tolerance it is not transitive."""
    limit = _limit("tolerance", tolerance)

    def function(a: Objects, b: Objects) -> Tensor:
        difference = a.matrix(attribute) - b.matrix(attribute)
        return (difference.abs() <= limit).all(dim=1)

    return Predicate(f"same_{attribute}", 2, function)


def right_of(position: Attribute = "position", margin: float = 0.0) -> Predicate:
    r"""The first coordinate of :math:`a` exceeds that of :math:`b`, by more than a
    margin."""
    return Predicate("right_of", 2, _exceeds(position, 0, margin))


def left_of(position: Attribute = "position", margin: float = 0.0) -> Predicate:
    r"""The inverse of :func:`right_of`, with the same arguments."""
    return _swapped("left_of", right_of(position, margin))


def above(
    position: Attribute = "position", margin: float = 0.0, y_down: bool = False
) -> Predicate:
    r"""The second coordinate of :math:`a` exceeds that of :math:`b`, by more than a
    margin."""
    upwards = Predicate("above", 2, _exceeds(position, 1, margin))
    return _swapped("above", upwards) if y_down else upwards


def below(
    position: Attribute = "position", margin: float = 0.0, y_down: bool = False
) -> Predicate:
    r"""The inverse of :func:`above`, with the same arguments."""
    return _swapped("below", above(position, margin, y_down))


def near(distance: float, position: Attribute = "position") -> Predicate:
    r"""Two objects are at most a distance apart:
    :math:`\Vert \mathbf{p}_a - \mathbf{p}_b \Vert \leq d`."""
    limit = _limit("distance", distance)

    def function(a: Objects, b: Objects) -> Tensor:
        difference = _real(a.matrix(position) - b.matrix(position))
        return difference.norm(dim=1) <= limit

    return Predicate(f"near_{distance:g}", 2, function)


def inside(
    position: Attribute = "position", size: Attribute = "size", tolerance: float = 0.0
) -> Predicate:
    r"""The box of :math:`a` lies within the box of :math:`b`: along each axis
    :math:`|p_a - p_b| + (s_a - s_b) / 2 \leq t`. Equal boxes are inside each other.

    Objects fill boxes along the axes, with the centre :math:`\mathbf{p}` and the
    lengths :math:`\mathbf{s}`; both must be in the same units, not standardised."""
    limit = _limit("tolerance", tolerance)

    def function(a: Objects, b: Objects) -> Tensor:
        apart, of_a, of_b = _boxes(a, b, position, size)
        return (apart + (of_a - of_b) / 2 <= limit).all(dim=1)

    return Predicate("inside", 2, function)


def touching(
    position: Attribute = "position", size: Attribute = "size", tolerance: float = 1e-6
) -> Predicate:
    r"""The boxes of two objects meet, but do not overlap: the largest gap along an
    axis, :math:`|p_a - p_b| - (s_a + s_b) / 2`, is zero up to a tolerance."""
    limit = _limit("tolerance", tolerance)
    return Predicate(
        "touching", 2, lambda a, b: _gap(a, b, position, size).abs() <= limit
    )


def overlapping(
    position: Attribute = "position", size: Attribute = "size", tolerance: float = 1e-6
) -> Predicate:
    r"""The boxes of two objects share more than their border: with the same tolerance,
    what overlaps does not touch."""
    limit = _limit("tolerance", tolerance)
    return Predicate("overlapping", 2, lambda a, b: _gap(a, b, position, size) < -limit)


def between(position: Attribute = "position", width: float = 0.25) -> Predicate:
    r"""Three objects: :math:`a` lies between :math:`b` and :math:`c`. Its projection
    falls inside the segment from :math:`b` to :math:`c`, and it is no farther from
    the segment than :obj:`width` times the segment's length.

    Nothing is between two objects at the same place."""
    limit = _limit("width", width)

    def function(a: Objects, b: Objects, c: Objects) -> Tensor:
        start = b.matrix(position)
        to_a = _real(a.matrix(position) - start)
        to_c = _real(c.matrix(position) - start)
        share = (to_a * to_c).sum(dim=1) / to_c.square().sum(dim=1)
        aside = (to_a - share.unsqueeze(1) * to_c).norm(dim=1)
        # At one place 'share' is NaN, and comparisons with it do not hold.
        return (share > 0) & (share < 1) & (aside <= limit * to_c.norm(dim=1))

    return Predicate("between", 3, function)


def _exceeds(
    attribute: Attribute, axis: int | None, margin: float
) -> Callable[[Objects, Objects], Tensor]:
    """Compares one column; without an axis there must be just one."""
    limit = _limit("margin", margin)

    def function(a: Objects, b: Objects) -> Tensor:
        difference = a.matrix(attribute) - b.matrix(attribute)
        width = difference.size(1)
        if (axis is None and width != 1) or width <= (axis or 0):
            need = "one column" if axis is None else f"at least {axis + 1} columns"
            raise ValueError(
                f"the attribute {attribute!r} must have {need} to be compared (got "
                f"{width}); change its entry in 'columns'"
            )
        return difference[:, axis or 0] > limit

    return function


def _swapped(name: str, item: Predicate) -> Predicate:
    return Predicate(name, 2, lambda a, b: item.function(b, a))


def _gap(a: Objects, b: Objects, position: Attribute, size: Attribute) -> Tensor:
    apart, of_a, of_b = _boxes(a, b, position, size)
    return (apart - (of_a + of_b) / 2).amax(dim=1)


def _boxes(
    a: Objects, b: Objects, position: Attribute, size: Attribute
) -> tuple[Tensor, Tensor, Tensor]:
    """How far centres are apart along each axis, and the lengths of both boxes."""
    apart = (a.matrix(position) - b.matrix(position)).abs()
    lengths = a.matrix(size), b.matrix(size)
    if lengths[0].size(1) not in (1, apart.size(1)):
        raise ValueError(
            f"the attribute {size!r} must have one column, or {apart.size(1)} as "
            f"{position!r} has (got {lengths[0].size(1)}); change its entry in "
            f"'columns'"
        )
    return apart, *lengths


def _real(value: Tensor) -> Tensor:
    return value if value.is_floating_point() else value.double()


def _limit(name: str, value: float) -> float:
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"'{name}' must be a number of at least 0 (got {value!r})")
    return value


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
    r"""Finds predicates by their names, with their default arguments."""
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
    check_name("predicates", name, [*NAMED, "same_<attribute>"])
    return NAMED[name]()
