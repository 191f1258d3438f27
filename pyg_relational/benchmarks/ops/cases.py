"""What is measured: the cases, and the floor that each is held to."""

from dataclasses import dataclass, replace

ONE_HIDDEN = ("textbook", "compiled", "edges", "keops", "auto", "sorted", "tiled")
RAGGED = ("textbook", "compiled", "edges", "auto", "sorted", "tiled")
DEEP = ("textbook", "compiled", "edges", "auto", "matmul", "square_matmul")
ATTENTION = ("textbook", "compiled", "edges", "auto", "sorted", "dense")
# Every size of a curve would be compiled anew; the floors' cases show what that gives.
CURVES = {
    "relation": ("textbook", "edges", "keops", "auto", "sorted", "tiled", "dense"),
    "attention": ("textbook", "edges", "auto", "sorted", "dense"),
}
SIZES = (6, 30, 100, 300, 1_000, 3_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Case:
    """One measurement: sets of objects, what is computed on them, and how.

    Args:
        key (str): The name that `--cases` selects.
        kind (str): `"relation"` (layers with parameters, objects in, objects out),
            `"pair_sum"` (the bare operator), `"attention"` or `"mlp_attention"`
            (layers, scores of GAT and of GATv2).
        sets (tuple): Pairs of a number of sets and the size of each.
        channels (tuple): Widths of the relation's layers; the width of the pair sum;
            or heads and channels a head.
        methods (tuple): What is timed side by side.
        in_channels (int): Width of an object. (default: `128`)
        plain_last (bool): Whether the relation's last layer has no activation.
            (default: `True`)
        series (str): The growth curve the case is a point of, if any.
        limit (float): Seconds; a call over all pairs that is expected to take
            longer is left out, any other that does is measured once.
            (default: `60.0`)
        budget (float): Seconds; no further round starts after it. (default: `12.0`)
    """

    key: str
    kind: str
    sets: tuple[tuple[int, int], ...]
    channels: tuple[int, ...]
    methods: tuple[str, ...]
    in_channels: int = 128
    plain_last: bool = True
    series: str = ""
    limit: float = 60.0
    budget: float = 12.0

    @property
    def sizes(self) -> list[int]:
        """The size of every set."""
        return [size for count, size in self.sets for _ in range(count)]

    @property
    def pairs(self) -> int:
        """Ordered pairs inside the sets."""
        return sum(size**2 for size in self.sizes)

    @property
    def padded_pairs(self) -> int:
        """Ordered pairs once every set is padded to the largest."""
        return len(self.sizes) * max(self.sizes) ** 2

    def describe(self) -> str:
        """The case in words."""
        sets = " beside ".join(
            f"{count:,} {'set' if count == 1 else 'sets'} of {size:,}"
            for count, size in self.sets
        )
        if "attention" in self.kind:
            name = self.kind.replace("_", " ").replace("mlp", "MLP")
            return f"{name}, {sets}, {self.channels[0]} heads x {self.channels[1]}"
        if self.kind == "pair_sum":
            return f"pair sum, {sets}, width {self.channels[0]}"
        hidden = len(self.channels) - self.plain_last
        layers = "1 hidden layer" if hidden == 1 else f"{hidden} hidden layers"
        return f"{layers}, {sets}, width {self.channels[0]}"

    def shrunk(self) -> "Case":
        """The case with about a tenth of the objects and an eighth of the width."""
        sets = tuple(
            (max(1, n // 8), min(max(2, s // 10), 1_000)) for n, s in self.sets
        )
        channels = tuple(max(4, width // 8) for width in self.channels)
        methods = tuple(x for x in self.methods if x not in ("compiled", "keops"))
        return replace(
            self,
            sets=sets,
            channels=channels,
            methods=methods,
            in_channels=16,
            budget=0.3,
        )


AT_MOST = ("time", "growth", "seconds", "extra", "peak")


@dataclass(frozen=True)
class Floor:
    """What a case must reach.

    Args:
        key (str): The case.
        against (str): The method, or the case, that it is compared with.
        quantity (str): `"speed"`, `"memory"` (their figure over ours), `"time"` (our
            seconds over theirs), `"growth"` (our seconds here over those of the case
            `against`), `"seconds"` and `"extra"` (bytes beyond the objects) of ours,
            `"peak"` (bytes of the process) or `"rate"` (floating-point
            operations a second over those of a matrix multiplication).
        bound (float): The least value; the largest for those in `AT_MOST`.
    """

    key: str
    against: str
    quantity: str
    bound: float

    def met(self, value: float) -> bool:
        """Whether the value is on the right side of the bound."""
        if self.quantity in AT_MOST:
            return value <= self.bound
        return value >= self.bound


ROWS = (
    Case("set-1000", "relation", ((1, 1000),), (128, 128), ONE_HIDDEN),
    Case("sets-32", "relation", ((32, 32),), (128, 128), (*ONE_HIDDEN, "dense")),
    Case("sets-6", "relation", ((64, 6),), (128, 128), (*ONE_HIDDEN, "dense")),
    Case("pair-sum", "pair_sum", ((1, 10_000),), (128,), ("keops", "auto", "tiled")),
    Case("pair-sum-100k", "pair_sum", ((1, 100_000),), (64,), ("auto", "argsort")),
    Case("pair-sum-1m", "pair_sum", ((1, 1_000_000),), (64,), ("auto", "argsort")),
    Case(
        "deep",
        "relation",
        ((64, 64),),
        (256,) * 4,
        DEEP,
        in_channels=256,
        plain_last=False,
    ),
    Case("attention", "attention", ((1, 2000),), (4, 32), ATTENTION),
    Case("attention-5000", "attention", ((1, 5000),), (4, 32), ("edges", "auto")),
    Case("mlp-attention", "mlp_attention", ((1, 500),), (4, 32), ("edges", "auto")),
    Case(
        "mlp-attention-5000", "mlp_attention", ((1, 5000),), (4, 32), ("edges", "auto")
    ),
    Case("ragged", "relation", ((1, 1000), (500, 5)), (128, 128), RAGGED),
    # The padded textbook needs more memory than there is above; here it runs.
    Case("ragged-small", "relation", ((1, 150), (75, 5)), (128, 128), RAGGED),
)
FLOORS = (
    Floor("set-1000", "textbook", "speed", 150),
    Floor("sets-32", "textbook", "speed", 8),
    Floor("sets-6", "textbook", "speed", 3),
    Floor("sets-6", "edges", "speed", 3),
    Floor("pair-sum", "keops", "speed", 25),
    Floor("pair-sum-1m", "pair-sum-100k", "growth", 14),
    Floor("pair-sum-1m", "auto", "peak", 10e9),
    Floor("pair-sum-1m", "argsort", "time", 5),
    Floor("deep", "textbook", "speed", 1.5),
    Floor("deep", "textbook", "memory", 6),
    Floor("deep", "matmul", "rate", 0.55),
    Floor("deep", "square_matmul", "rate", 0.55),
    Floor("attention", "edges", "speed", 100),
    Floor("attention-5000", "auto", "seconds", 1),
    Floor("mlp-attention-5000", "auto", "extra", 0.1e9),
    Floor("ragged", "textbook", "speed", 300),
)


def all_cases(quick: bool) -> list[Case]:
    """Return the cases of the floors, then the grid of sizes, widths and depths."""
    if quick:
        grid = _grid((30, 100, 300), (16,), (2,))
        methods = ("textbook", "edges", "auto", "sorted", "tiled", "dense")
        small = [
            replace(
                case,
                methods=tuple(x for x in case.methods if x in methods),
                budget=0.3,
            )
            for case in grid
        ]
        return [case.shrunk() for case in ROWS] + small
    return [*ROWS, *_grid(SIZES, (16, 64, 256), (2, 4))]


def _grid(
    sizes: tuple[int, ...], widths: tuple[int, ...], depths: tuple[int, ...]
) -> list[Case]:
    relation, attention = CURVES["relation"], CURVES["attention"]
    blocks = ("textbook", "edges", "auto", "dense")
    by_size = [
        replace(case, series=case.kind, limit=5.0)
        for n in sizes
        for case in (
            Case(f"relation-{n}", "relation", ((1, n),), (64, 64), relation, 64),
            Case(f"attention-{n}", "attention", ((1, n),), (4, 16), attention, 64),
        )
    ]
    by_size.sort(key=lambda case: case.series, reverse=True)
    by_width = [
        Case(f"width-{w}", "relation", ((1, 300),), (w, w), relation, w) for w in widths
    ]
    by_depth = [
        Case(f"depth-{d}", "relation", ((16, 64),), (64,) * (d + 1), blocks, 64)
        for d in depths
    ]
    return [replace(case, budget=6.0) for case in (*by_size, *by_width, *by_depth)]
