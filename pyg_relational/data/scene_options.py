"""What the user asks of an encoder of scenes."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from pyg_relational.data.scene_attributes import KINDS, LEVELS, UNSEEN, Attribute
from pyg_relational.data.scene_fit import Place
from pyg_relational.data.scene_scan import Rules

CHOICES = {
    "relations": ("edges", "labels", "both"),
    "category": ("one-hot", "index"),
    "unseen": ("slot", "error"),
    "masks": ("seen", "always"),
}


@dataclass(frozen=True)
class SceneOptions:
    """The options of :class:`~pyg_relational.data.SceneEncoder`, which explains them.

    Raises:
        ValueError: If an option is unknown.
    """

    targets: tuple[str, ...] = ()
    edge_type: Hashable | None = None
    relations: str = "edges"
    kinds: dict[str, str] = field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    category: str = "one-hot"
    max_categories: int = 32
    unseen: str = "slot"
    masks: str = "seen"
    standardize: bool = True

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"'{name}' must be one of {', '.join(choices)} (got "
                    f"{getattr(self, name)!r})"
                )
        if self.max_categories < 1:
            raise ValueError(
                f"'max_categories' must be at least 1 (got {self.max_categories})"
            )
        for named, kind in self.kinds.items():
            if kind not in KINDS:
                raise ValueError(
                    f"'kinds' must say of {named!r} one of {', '.join(KINDS)} (got "
                    f"{kind!r})"
                )
        if len({place(name)[0] for name in self.targets}) > 1:
            raise ValueError(
                f"'targets' must be of one level, nodes, edges or graph (got "
                f"{', '.join(self.targets)})"
            )
        both = {*self.targets} & {*self.leave_out}
        if both:
            raise ValueError(f"{both.pop()!r} is in both 'targets' and 'leave_out'")
        for name in (*self.kinds, *self.leave_out):
            place(name)

    def wanted_kinds(self) -> dict[Place, str]:
        """Returns the kinds that the user wants."""
        kinds = {place(name): kind for name, kind in self.kinds.items()}
        if self.edge_type is not None:
            kinds["edge", self.edge_type] = "category"
        return kinds

    def categories(self) -> list[Place]:
        """Returns the attributes that shall be categories."""
        return [at for at, kind in self.wanted_kinds().items() if kind == "category"]

    def roles(self) -> dict[Place, str]:
        """Returns the roles of attributes that are no features."""
        roles = {place(name): "target" for name in self.targets}
        return roles | {place(name): "left out" for name in self.leave_out}

    def rules(self) -> Rules:
        """Returns how attributes become features."""
        return Rules(
            category=self.category,
            unseen=self.unseen,
            masks=self.masks,
            standardize=self.standardize,
            max_categories=self.max_categories,
        )

    def check_attributes(self, attributes: Sequence[Attribute]) -> None:
        """Raises a `ValueError` if a target is no number, vector, category or truth
        value."""
        for attribute in attributes:
            if attribute.role == "target" and not attribute.leaves:
                raise ValueError(
                    f"the target '{attribute.level}.{attribute.name}' is of kind "
                    f"'{attribute.kind}'; expected a number, vector, category or "
                    f"truth value; choose another one or say in 'kinds' what it is"
                )

    def relation_names(self, attributes: Sequence[Attribute]) -> list[str]:
        """Returns the names of relations in the order of their codes."""
        for attribute in attributes:
            if (attribute.level, attribute.name) == ("edge", self.edge_type):
                names = [str(value) for value in attribute.categories]
                return [*names, UNSEEN]
        return ["related"]


def place(name: str) -> Place:
    """Returns level and name of an attribute, from `"node.size"`.

    Raises:
        ValueError: If the name does not begin with a level.
    """
    level, dot, attribute = str(name).partition(".")
    if level not in LEVELS or not dot:
        raise ValueError(
            f"attributes are named by their level, as in 'node.size', 'edge.relation' "
            f"or 'graph.answer' (got {name!r})"
        )
    return level, attribute
