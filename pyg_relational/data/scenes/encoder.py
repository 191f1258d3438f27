"""NetworkX scenes as training data, and back."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.data.scenes.columns import (
    Tables,
    ordered_pairs,
    pair_labels,
    read_tables,
)
from pyg_relational.data.scenes.inverse import SceneRecord, invert
from pyg_relational.data.scenes.scan import (
    LEVELS,
    Attribute,
    SceneScan,
    Structure,
    both_ways,
    read_structure,
)
from pyg_relational.data.scenes.schema import (
    SceneOptions,
    read_schema,
    schema_content,
    write_schema,
)

if TYPE_CHECKING:
    import networkx as nx


# Scenes in lists short enough to be encoded together.


CHUNK = 256  # scenes that are encoded together
ROWS = 100_000  # nodes and edges beyond which a chunk ends


def is_graph(scenes: Any) -> bool:
    """Tells whether this is one scene."""
    import networkx as nx

    return isinstance(scenes, nx.Graph)


def chunks(scenes: Any) -> Iterator[tuple[int, list[nx.Graph]]]:
    """Yields lists of scenes and the number of the first of each."""
    import networkx as nx

    remaining = iter([scenes] if isinstance(scenes, nx.Graph) else scenes)
    first = 0
    while True:
        graphs: list[nx.Graph] = []
        rows = 0
        for graph in islice(remaining, CHUNK):
            if not isinstance(graph, nx.Graph):
                raise TypeError(
                    f"scene {first + len(graphs)} must be a networkx graph (got "
                    f"{type(graph).__name__}); build one from it first"
                )
            graphs.append(graph)
            # `number_of_edges` asks for the degree of each node, which takes longer.
            rows += sum(len(neighbours) + 1 for _, neighbours in graph.adjacency())
            if rows > ROWS:
                break
        if not graphs:
            return
        yield first, graphs
        first += len(graphs)


# The data of each scene, cut from the tables of many.


def assemble(
    structure: Structure,
    tables: Tables,
    attributes: Sequence[Attribute],
    options: SceneOptions,
    facts: Mapping[str, Any],
    exact: bool,
) -> list[Data]:
    """Returns the data of each scene."""
    ptrs = {
        "node": structure.node_ptr,
        "edge": structure.edge_ptr,
        "graph": np.arange(len(structure.classes) + 1),
    }
    parts: dict[str, list[Any]] = {"x": _cut(tables.features["node"], ptrs["node"])}
    edges, backward, edge_ptr = both_ways(structure)
    source = np.where(backward, structure.target[edges], structure.source[edges])
    target = np.where(backward, structure.source[edges], structure.target[edges])
    relation = np.zeros(len(edges), dtype=np.int64)
    if tables.edge_type is not None:
        relation = tables.edge_type[edges]
    if options.relations != "labels":
        parts["edge_index"] = _cut(np.stack([source, target]), edge_ptr, dim=1)
        if tables.features["edge"].shape[1]:
            parts["edge_attr"] = _cut(tables.features["edge"][edges], edge_ptr)
        if tables.edge_type is not None:
            parts["edge_type"] = _cut(relation, edge_ptr)
        parts["edge_reversed"] = _cut(backward, edge_ptr)
    if tables.features["graph"].shape[1]:
        parts["u"] = _cut(tables.features["graph"], ptrs["graph"])
    if tables.targets is not None:
        level = next(a.level for a in attributes if a.role == "target")
        aligned = level == "edge" and options.relations != "labels"
        rows = tables.targets[edges] if aligned else tables.targets
        parts["y"] = _cut(rows, edge_ptr if aligned else ptrs[level])
    if options.relations != "edges":
        classes = len(options.relation_names(attributes))
        labels = _labels(
            structure,
            (source, target, relation),
            edge_ptr,
            classes if facts["parallel_edges"] else None,
            facts["self_loops"],
        )
        parts["edge_label_index"], parts["edge_label"] = labels
    if exact:
        for level in LEVELS:
            parts[f"exact_{level}"] = _cut(tables.exact[level], ptrs[level])
    if exact:
        numbers = range(len(structure.classes))
        parts["scene"] = [_record(structure, tables, number) for number in numbers]
    return [_data(parts, row) for row in zip(*parts.values(), strict=True)]


def _data(names: Iterable[str], values: Iterable[Any]) -> Data:
    data = Data()
    # Where attributes of `data` end, and a third of the time of setting them.
    data._store._mapping.update(zip(names, values, strict=True))
    return data


def _cut(rows: NDArray[Any], ptr: NDArray[np.int64], dim: int = 0) -> list[Tensor]:
    """Returns the rows of each scene, each in memory of its own."""
    ends = zip(ptr.tolist(), ptr[1:].tolist(), strict=False)
    if dim == 1:
        return [torch.from_numpy(rows[:, a:b].copy()) for a, b in ends]
    return [torch.from_numpy(rows[a:b].copy()) for a, b in ends]


def _labels(
    structure: Structure,
    edges: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    edge_ptr: NDArray[np.int64],
    classes: int | None,
    self_pairs: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    pairs, labels = [], []
    for number, size in enumerate(np.diff(structure.node_ptr).tolist()):
        part = slice(edge_ptr[number], edge_ptr[number + 1])
        ends, places = ordered_pairs(size, self_pairs)
        pairs.append(ends.clone())
        source, target, relation = (values[part] for values in edges)
        labels.append(pair_labels(size, source, target, relation, places, classes))
    return pairs, labels


def _record(structure: Structure, tables: Tables, number: int) -> SceneRecord:
    name = structure.classes[number]
    keys: list[Hashable] | None = structure.node_keys[number]
    assert keys is not None
    if keys == list(range(len(keys))) and set(map(type, keys)) <= {int}:
        keys = None
    edge_keys = None
    if name.startswith("Multi"):
        assert structure.edge_keys is not None
        start, end = structure.edge_ptr[number : number + 2]
        edge_keys = structure.edge_keys[start:end]
    missing = {
        level: {attribute: list(rows) for attribute, rows in found.items()}
        for level, found in tables.missing.get(number, {}).items()
    }
    objects = tables.objects.get(number, {})
    return SceneRecord(name, keys, edge_keys, missing, objects)


class SceneEncoder:
    r"""Turns NetworkX graphs into :class:`torch_geometric.data.Data` for training, and
    gives them back equal.

    :meth:`fit` looks at scenes once and tells of each attribute of nodes, edges and
    graphs what it is: a number, a truth value, a category, a text, a vector (also
    nested, such as :obj:`{"x": 1.0, "y": 2.0}`) or a mixture. :meth:`transform` makes
    :obj:`x` from the attributes of nodes, :obj:`edge_attr` from those of edges,
    :obj:`u` from those of the graph and :obj:`y` from the targets;
    :attr:`feature_names` says what each column is. Texts and mixtures have no columns.

    Beside the features, which are standardised and of 32 bits, exact values travel in
    the tables :obj:`exact_node`, :obj:`exact_edge`, :obj:`exact_graph` and in
    :obj:`scene`, what is no number; :meth:`inverse_transform` reads only these. Both
    survive batching: ``encoder.inverse_transform(batch[i])``.

    An edge of an undirected graph becomes one in each direction; :obj:`edge_reversed`
    is :obj:`True` for the added ones.

    Args:
        targets (str or sequence of str): Attributes that make up :obj:`y`, such as
            :obj:`"graph.answer"` or :obj:`"node.label"`, all of one level. One
            category or truth value gives classes (-100 where unknown), others give
            numbers as they are (:obj:`nan` where unknown). (default: :obj:`()`)
        edge_type (str, optional): The edge attribute that names the relation; gives
            :obj:`edge_type`, :math:`[E]`, or the classes of pairs.
            (default: :obj:`None`)
        relations (str): :obj:`"edges"`; :obj:`"labels"`, all ordered pairs in
            :obj:`edge_label_index` with their relation in :obj:`edge_label`, 0 for
            none, and no edges; or :obj:`"both"`, where the edges give the labels away.
            If pairs have several relations, a label has an entry for each of them.
            (default: :obj:`"edges"`)
        kinds (Mapping, optional): Kinds of attributes, in place of what is inferred:
            :obj:`{"node.size": "category"}`. (default: :obj:`None`)
        leave_out (sequence of str): Attributes that become no features.
            (default: :obj:`()`)
        category (str): :obj:`"one-hot"` or :obj:`"index"`, a column with the code.
            (default: :obj:`"one-hot"`)
        max_categories (int): Texts with more different values, or of more than three
            words on average, are no category. (default: :obj:`32`)
        unseen (str): A category that the fitted scenes lack has a :obj:`"slot"` of its
            own or is an :obj:`"error"`. (default: :obj:`"slot"`)
        masks (str): A column tells whether a value is known (not missing, not
            :obj:`None`, finite) for attributes that were unknown somewhere in the
            fitted scenes, :obj:`"seen"`, or for all, :obj:`"always"`.
            (default: :obj:`"seen"`)
        standardize (bool): Whether numbers get mean zero and deviation one over the
            fitted scenes. (default: :obj:`True`)
        exact (bool): Whether exact values travel along. Without them
            :meth:`inverse_transform` gives what the features tell: numbers up to
            rounding, no texts, nodes and edge keys by number. (default: :obj:`True`)

    Raises:
        ValueError: If an option is unknown.

    Example:
        >>> encoder = SceneEncoder(targets="graph.answer").fit(training_scenes)
        >>> data = encoder.transform(scene)  # or a list of scenes
        >>> encoder.feature_names["x"]
        ['color=blue', 'color=red', 'color=<unseen>', 'pos.x', 'pos.y']
        >>> encoder.inverse_transform(data)  # equal to `scene`
    """

    def __init__(
        self,
        *,
        targets: str | Sequence[str] = (),
        edge_type: Hashable | None = None,
        relations: Literal["edges", "labels", "both"] = "edges",
        kinds: Mapping[str, str] | None = None,
        leave_out: Sequence[str] = (),
        category: Literal["one-hot", "index"] = "one-hot",
        max_categories: int = 32,
        unseen: Literal["slot", "error"] = "slot",
        masks: Literal["seen", "always"] = "seen",
        standardize: bool = True,
        exact: bool = True,
    ) -> None:
        self.options = SceneOptions(
            targets=(targets,) if isinstance(targets, str) else tuple(targets),
            edge_type=edge_type,
            relations=relations,
            kinds=dict(kinds or {}),
            leave_out=(leave_out,) if isinstance(leave_out, str) else tuple(leave_out),
            category=category,
            max_categories=max_categories,
            unseen=unseen,
            masks=masks,
            standardize=standardize,
        )
        self.exact = exact
        self._attributes: list[Attribute] | None = None
        self._facts: dict[str, Any] = {}

    def fit(self, scenes: nx.Graph | Iterable[nx.Graph]) -> SceneEncoder:
        r"""Learns attributes, categories, means and deviations in one pass.

        Args:
            scenes (networkx.Graph or iterable of them): The training scenes; a
                generator will do, they are not kept.

        Raises:
            ValueError: If there is no scene, or an option names an attribute that no
                scene has or a kind that does not fit its values.
            TypeError: If a scene is no NetworkX graph.
        """
        scan = self.new_scan()
        for first, graphs in chunks(scenes):
            scan.add(read_structure(graphs), first)
        return self.fit_scan(scan)

    def new_scan(self) -> SceneScan:
        r"""Returns a scan for this encoder, to look at parts of the scenes apart."""
        return SceneScan(self.options.max_categories, self.options.categories())

    def fit_scan(self, scan: SceneScan) -> SceneEncoder:
        r"""Learns what :meth:`fit` does from a scan that has seen the scenes.

        Args:
            scan (SceneScan): The scan, or several merged ones.
        """
        if scan.rows["graph"] == 0:
            raise ValueError("'scenes' must hold a scene to fit (got none)")
        self._attributes = scan.attributes(
            self.options.wanted_kinds(), self.options.roles(), self.options.rules()
        )
        self._facts = scan.facts()
        self.options.check_attributes(self._attributes)
        return self

    def transform(self, scenes: nx.Graph | Iterable[nx.Graph]) -> Data | list[Data]:
        r"""Returns the data of a scene, or the list of them.

        Args:
            scenes (networkx.Graph or iterable of them): Scenes.

        Raises:
            RuntimeError: If the encoder is not fitted.
            SceneError: If a scene contradicts the schema; the message names scene,
                node or edge, and attribute.
            TypeError: If a scene is no NetworkX graph.
        """
        found = list(self.stream(scenes))
        return found[0] if is_graph(scenes) else found

    def stream(self, scenes: nx.Graph | Iterable[nx.Graph]) -> Iterator[Data]:
        r"""Yields the data of one scene after the other in bounded memory.

        Args:
            scenes (networkx.Graph or iterable of them): Scenes.
        """
        for first, graphs in chunks(scenes):
            yield from self._encode(graphs, first)

    def fit_transform(self, scenes: Sequence[nx.Graph]) -> list[Data]:
        r"""Fits scenes and returns their data.

        Args:
            scenes (sequence of networkx.Graph): The training scenes.
        """
        scenes = list(scenes)
        return list(self.fit(scenes).stream(scenes))

    def inverse_transform(self, data: Data | Sequence[Data]) -> Any:
        r"""Returns the scene, equal to the one that was transformed: class, nodes,
        edges, their order, keys, and attributes in value and type.

        Args:
            data (torch_geometric.data.Data or sequence of them): What
                :meth:`transform` returned, also from a batch (``batch[i]``) or a whole
                :class:`~torch_geometric.data.Batch`.
        """
        if isinstance(data, Batch):
            data = data.to_data_list()
        if isinstance(data, Data):
            return invert(data, self.attributes, self._facts, self.options)
        return [self.inverse_transform(part) for part in data]

    @property
    def attributes(self) -> list[Attribute]:
        r"""What is known of each attribute.

        Raises:
            RuntimeError: If the encoder is not fitted.
        """
        if self._attributes is None:
            raise RuntimeError(
                "the encoder is not fitted; call 'fit' with scenes, or 'load' a schema"
            )
        return self._attributes

    @property
    def feature_names(self) -> dict[str, list[str]]:
        r"""What each column of :obj:`x`, :obj:`edge_attr`, :obj:`u` and :obj:`y` is,
        and each number of :obj:`edge_type` and :obj:`edge_label`."""
        names = {}
        for level, key in zip(LEVELS, ("x", "edge_attr", "u"), strict=True):
            chosen = [a for a in self.attributes if a.level == level]
            chosen = [a for a in chosen if a.role == "feature"]
            names[key] = [column for a in chosen for column in a.columns]
        targets = [a for a in self.attributes if a.role == "target"]
        names["y"] = [column for a in targets for column in a.numbers]
        relations = self.options.relation_names(self.attributes)
        names["edge_type"] = relations if self.options.edge_type is not None else []
        if self.options.relations == "edges":
            return names
        none = [] if self._facts["parallel_edges"] else ["<none>"]
        names["edge_label"] = none + relations
        return names

    @property
    def schema(self) -> dict[str, Any]:
        r"""Everything that the encoder knows, as JSON holds it."""
        return schema_content(self.attributes, self._facts, self.options, self.exact)

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any]) -> SceneEncoder:
        r"""Returns a fitted encoder.

        Args:
            schema (Mapping): What :attr:`schema` returned.

        Raises:
            ValueError: If it is no schema, incomplete, or of a later version.
        """
        attributes, facts, options, exact = read_schema(schema)
        encoder = cls(exact=exact)
        encoder.options = options
        encoder._attributes, encoder._facts = attributes, facts
        return encoder

    def save(self, path: str | Path) -> None:
        r"""Writes :attr:`schema` to a JSON file, whole or not at all.

        Args:
            path (str or Path): The file.
        """
        write_schema(Path(path), self.schema)

    @classmethod
    def load(cls, path: str | Path) -> SceneEncoder:
        r"""Reads what :meth:`save` wrote.

        Args:
            path (str or Path): The file.

        Raises:
            ValueError: If it is no schema.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls.from_schema(content)
        except ValueError as error:
            raise ValueError(f"'{path}' is not a schema of scenes: {error}") from error

    def __repr__(self) -> str:
        if self._attributes is None:
            return f"{self.__class__.__name__}(not fitted)"
        names = self.feature_names
        sizes = ", ".join(f"{key}={len(names[key])}" for key in ("x", "edge_attr", "u"))
        return f"{self.__class__.__name__}({sizes})"

    def _encode(self, graphs: list[nx.Graph], first: int) -> list[Data]:
        structure = read_structure(graphs)
        tables = read_tables(
            structure, self.attributes, self.options.edge_type, self.exact, first
        )
        return assemble(
            structure, tables, self.attributes, self.options, self._facts, self.exact
        )
