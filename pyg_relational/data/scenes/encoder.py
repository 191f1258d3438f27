"""NetworkX scenes as training data, and back."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Batch, Data

from pyg_relational.data.scenes.columns import Tables, read_tables
from pyg_relational.data.scenes.inverse import SceneRecord, invert
from pyg_relational.data.scenes.scan import (
    SceneScan,
    Structure,
    pointers,
    read_structure,
)
from pyg_relational.data.scenes.schema import (
    LEVELS,
    Attribute,
    SceneOptions,
    read_schema,
    schema_content,
    write_schema,
)

if TYPE_CHECKING:
    import networkx as nx

CHUNK = 256  # scenes that are encoded together
ROWS = 100_000  # nodes and edges beyond which a chunk ends


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
        for first, graphs in _chunks(scenes):
            scan.add(read_structure(graphs), first)
        return self.fit_scan(scan)

    def new_scan(self) -> SceneScan:
        r"""Returns a scan for this encoder, to look at parts of the scenes apart."""
        return SceneScan(self.options)

    def fit_scan(self, scan: SceneScan) -> SceneEncoder:
        r"""Learns what :meth:`fit` does from a scan that has seen the scenes.

        Args:
            scan (SceneScan): The scan, or several merged ones.
        """
        if scan.rows["graph"] == 0:
            raise ValueError("'scenes' must hold a scene to fit (got none)")
        self._attributes, self._facts = scan.attributes(), scan.facts()
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
        import networkx as nx

        found = list(self.stream(scenes))
        return found[0] if isinstance(scenes, nx.Graph) else found

    def stream(self, scenes: nx.Graph | Iterable[nx.Graph]) -> Iterator[Data]:
        r"""Yields the data of one scene after the other in bounded memory.

        Args:
            scenes (networkx.Graph or iterable of them): Scenes.
        """
        edge_type = self.options.edge_type
        for first, graphs in _chunks(scenes):
            structure = read_structure(graphs)
            tables = read_tables(
                structure, self.attributes, edge_type, self.exact, first
            )
            yield from self._assemble(structure, tables)

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

    def _assemble(self, structure: Structure, tables: Tables) -> list[Data]:
        """Returns the data of each scene, cut from the tables of all."""
        options, ptr = self.options, structure.ptr
        parts: dict[str, list[Any]] = {"x": _cut(tables.features["node"], ptr["node"])}
        edges, backward, edge_ptr = _both_ways(structure)
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
            parts["u"] = _cut(tables.features["graph"], ptr["graph"])
        if tables.targets is not None:
            level = next(a.level for a in self.attributes if a.role == "target")
            if level == "edge" and options.relations != "labels":
                parts["y"] = _cut(tables.targets[edges], edge_ptr)
            else:
                parts["y"] = _cut(tables.targets, ptr[level])
        if options.relations != "edges":
            multiple = self._facts["parallel_edges"]
            classes = len(options.relation_names(self.attributes)) if multiple else None
            parts["edge_label_index"], parts["edge_label"] = _pair_labels(
                np.diff(ptr["node"]).tolist(),
                [_arrays(values, edge_ptr) for values in (source, target, relation)],
                classes,
                self._facts["self_loops"],
            )
        if self.exact:
            for level in LEVELS:
                parts[f"exact_{level}"] = _cut(tables.exact[level], ptr[level])
            numbers = range(len(structure.classes))
            parts["scene"] = [_record(structure, tables, number) for number in numbers]
        return [_data(parts, row) for row in zip(*parts.values(), strict=True)]


def _chunks(scenes: Any) -> Iterator[tuple[int, list[nx.Graph]]]:
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


def _both_ways(
    structure: Structure,
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Returns the edges with those of undirected scenes a second time, reversed, after
    the original ones of their scene; a self-loop has only one direction."""
    rows = np.arange(len(structure.source))
    undirected, scene = structure.undirected, structure.edge_scene
    if not undirected.any():
        return rows, np.zeros(len(rows), dtype=bool), structure.ptr["edge"]
    again = rows[undirected[scene] & (structure.source != structure.target)]
    both = np.concatenate([rows, again])
    order = np.argsort(scene[both], kind="stable")
    ptr = pointers(np.bincount(scene[both], minlength=len(undirected)))
    return both[order], order >= len(rows), ptr


def _arrays(
    rows: NDArray[Any], ptr: NDArray[np.int64], dim: int = 0
) -> list[NDArray[Any]]:
    """Returns the rows of each scene."""
    ends = zip(ptr.tolist(), ptr[1:].tolist(), strict=False)
    return [rows[:, a:b] if dim else rows[a:b] for a, b in ends]


def _cut(rows: NDArray[Any], ptr: NDArray[np.int64], dim: int = 0) -> list[Tensor]:
    """Returns the rows of each scene, each in memory of its own."""
    return [torch.from_numpy(part.copy()) for part in _arrays(rows, ptr, dim)]


def _pair_labels(
    sizes: list[int],
    edges: list[list[NDArray[np.int64]]],
    classes: int | None,
    self_pairs: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Returns all ordered pairs of each scene, `[2, P]`, and of each pair its relation,
    `[P]`, 0 for none; or with several relations of a pair whether it has each of them,
    `[P, R]`."""
    pairs, labels = [], []
    for size, source, target, relation in zip(sizes, *edges, strict=True):
        ends, places = _ordered_pairs(size, self_pairs)
        pairs.append(ends.clone())
        place = source * size + target
        if classes is None:
            table = np.zeros(size * size, dtype=np.int64)
            table[place] = relation + 1
        else:
            table = np.zeros((size * size, classes), dtype=np.float32)
            table[place, relation] = 1
        labels.append(torch.from_numpy(table[places]))
    return pairs, labels


@lru_cache(maxsize=64)
def _ordered_pairs(nodes: int, self_pairs: bool) -> tuple[Tensor, NDArray[np.int64]]:
    """Returns all ordered pairs, `[2, P]`, and their places in a matrix, `[P]`."""
    pairs = np.indices((nodes, nodes)).reshape(2, -1)
    if not self_pairs:
        pairs = pairs[:, pairs[0] != pairs[1]]
    return torch.from_numpy(np.ascontiguousarray(pairs)), pairs[0] * nodes + pairs[1]


def _record(structure: Structure, tables: Tables, number: int) -> SceneRecord:
    name = structure.classes[number]
    keys: list[Hashable] | None = structure.node_keys[number]
    assert keys is not None
    if keys == list(range(len(keys))) and set(map(type, keys)) <= {int}:
        keys = None
    edge_keys = None
    if name.startswith("Multi"):
        assert structure.edge_keys is not None
        start, end = structure.ptr["edge"][number : number + 2]
        edge_keys = structure.edge_keys[start:end]
    missing = {
        level: {attribute: list(rows) for attribute, rows in found.items()}
        for level, found in tables.missing.get(number, {}).items()
    }
    objects = tables.objects.get(number, {})
    return SceneRecord(name, keys, edge_keys, missing, objects)


def _data(names: Iterable[str], values: Iterable[Any]) -> Data:
    data = Data()
    # Where attributes of `data` end, and a third of the time of setting them.
    data._store._mapping.update(zip(names, values, strict=True))
    return data
