from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib._pylab_helpers import Gcf
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from torch_geometric.data import Data

from pyg_relational.explain import (
    plot_attention,
    plot_image_pair,
    plot_scene,
    plot_sentence_pair,
    top_pairs,
)
from pyg_relational.explain.plots.matrices import plot_probabilities

SIGNED = torch.tensor([[0.5, -2.0], [0.0, 1.0]])


def attention(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(*shape, generator=generator)).softmax(-1)


def tick_texts(axes: Axes) -> tuple[list[str], list[str]]:
    rows, columns = axes.get_yticklabels(), axes.get_xticklabels()
    return [t.get_text() for t in rows], [t.get_text() for t in columns]


def overlaps(axes: list[Axes]) -> list[tuple[str, str]]:
    """Texts of the panels that overlap in the drawn figure."""
    axes[0].figure.draw_without_rendering()
    texts: list[Text] = []
    for panel in axes:
        texts += [*panel.get_xticklabels(), *panel.get_yticklabels(), *panel.texts]
        texts += [panel.title, panel.xaxis.label, panel.yaxis.label]
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in texts if t.get_text()]
    return [
        (one, two)
        for (one, a), (two, b) in combinations(boxes, 2)
        if Bbox.intersection(a, b) is not None
    ]


def luminance(colour: Any) -> float:
    parts = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in to_rgb(colour)
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


# Strongest pairs ----------------------------------------------------------------------


def test_top_pairs_by_absolute_value() -> None:
    assert top_pairs(SIGNED, 2) == [(0, 1, -2.0), (1, 1, 1.0)]
    assert top_pairs(SIGNED, 9, ["a", "b"]) == [
        ("a", "b", -2.0),
        ("b", "b", 1.0),
        ("a", "a", 0.5),
        ("b", "a", 0.0),
    ]


def test_top_pairs_takes_the_mean_of_heads_and_the_first_of_equals() -> None:
    heads = torch.stack([SIGNED, -SIGNED, torch.ones(2, 2)])
    assert [pair[:2] for pair in top_pairs(heads, 3)] == [(0, 0), (0, 1), (1, 0)]
    assert top_pairs(heads, 1)[0][2] == pytest.approx(1 / 3)


def test_top_pairs_between_two_sets() -> None:
    assert top_pairs(torch.tensor([[1.0, 3.0, 2.0]]), 2) == [(0, 1, 3.0), (0, 2, 2.0)]


def test_top_pairs_needs_at_least_one() -> None:
    with pytest.raises(ValueError, match=r"'k' must be at least 1 \(got 0\)"):
        top_pairs(SIGNED, 0)


# Heat maps ----------------------------------------------------------------------------


def test_heat_map_says_what_the_weights_are() -> None:
    weights = torch.tensor([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0], [0.3, 0.3, 0.4]])
    axes = plot_attention(
        weights.clone().requires_grad_(),
        ["a", "b", "$c"],
        title="T",
        value_name="share",
    )
    texts = {t.get_position(): t.get_text() for t in axes.texts}
    assert texts == {
        (column, row): f"{float(weights[row, column]):.2f}"
        for row in range(3)
        for column in range(3)
    }
    assert tick_texts(axes) == (["a", "b", "$c"], ["a", "b", "$c"])
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("target", "source")
    assert axes.get_title() == "T"
    panel, bar = axes.figure.axes
    assert panel is axes
    assert bar.get_ylabel() == "share"
    assert axes.images[0].get_clim() == (0.0, 1.0)
    assert not Gcf.figs  # nothing registered with pyplot


def test_negative_weights_diverge_from_zero() -> None:
    axes = plot_attention(SIGNED)
    image = axes.images[0]
    assert image.get_clim() == (-2.0, 2.0)
    white = image.cmap(image.norm(0.0))
    assert min(white[:3]) > 0.95
    assert [t.get_text() for t in axes.texts] == ["0.50", "-2.00", "0.00", "1.00"]
    red, blue = image.cmap(image.norm(-2.0)), image.cmap(image.norm(2.0))
    assert red[0] > red[2]
    assert blue[2] > blue[0]


@pytest.mark.parametrize(
    ("scale", "text"),
    [
        (1e-6, "1.0e-06"),
        (1e-3, "0.0010"),
        (0.05, "0.050"),
        (30.0, "30.00"),
        (1234.0, "1234"),
        (1e7, "1.0e+07"),
    ],
)
def test_values_keep_two_digits_of_the_largest(scale: float, text: str) -> None:
    axes = plot_attention(torch.full((2, 2), scale, dtype=torch.double))
    assert axes.texts[0].get_text() == text


def test_weights_that_are_all_zero() -> None:
    axes = plot_attention(torch.zeros(2, 2))
    assert [t.get_text() for t in axes.texts] == ["0.00"] * 4


@pytest.mark.parametrize("signed", [False, True])
def test_values_are_readable_on_their_cell(signed: bool) -> None:
    weights = torch.linspace(-1 if signed else 0, 1, 100).view(10, 10)
    axes = plot_attention(weights)
    image = axes.images[0]
    assert len(axes.texts) == 100
    for text in axes.texts:
        column, row = text.get_position()
        cell = luminance(image.cmap(image.norm(float(weights[int(row), int(column)]))))
        ink = luminance(text.get_color())
        light, dark = max(cell, ink), min(cell, ink)
        assert (light + 0.05) / (dark + 0.05) > 4.4


@pytest.mark.parametrize(("n", "written"), [(12, 144), (13, 0), (40, 0)])
def test_values_are_written_where_there_is_room(n: int, written: int) -> None:
    assert len(plot_attention(attention(n, n)).texts) == written


@pytest.mark.parametrize("n", [1, 2, 6, 12, 40])
@pytest.mark.parametrize("name", ["{}", "object {}", "an object with a long name, {}"])
def test_no_texts_overlap(n: int, name: str) -> None:
    names = [name.format(i) for i in range(n)]
    axes = plot_attention(attention(n, n), names, title="a title")
    assert overlaps([axes]) == []
    rows, columns = tick_texts(axes)
    assert rows == columns
    step = -(-n // len(rows))
    assert [row[:20] for row in rows] == [own[:20] for own in names[::step]]


def test_no_texts_overlap_with_many_decimals() -> None:
    assert overlaps([plot_attention(-1e-6 * attention(12, 12))]) == []


def test_small_panels_thin_out_labels_and_leave_out_values() -> None:
    axes = Figure(figsize=(2.5, 2.5)).subplots()
    assert plot_attention(attention(40, 40), ax=axes) is axes
    ticks = axes.get_yticks().tolist()
    step = ticks[1]
    assert step > 1
    assert ticks == list(range(0, 40, int(step)))
    assert tick_texts(axes)[0] == [str(tick) for tick in ticks]
    assert overlaps([axes]) == []
    tiny = Figure(figsize=(2, 2)).subplots()
    assert len(plot_attention(attention(12, 12), ax=tiny).texts) == 0


@pytest.mark.parametrize("n", [6, 40])
def test_a_panel_a_head_on_one_scale(n: int) -> None:
    weights = attention(4, n, n)
    names = [f"object {i}" for i in range(n)]
    axes = plot_attention(weights, names, title="heads", value_name="w")
    *panels, bar = axes.figure.axes
    assert [panel.get_title() for panel in panels] == [f"head {k}" for k in range(4)]
    assert {panel.images[0].get_clim() for panel in panels} == {
        (0.0, float(weights.max()))
    }
    for k, panel in enumerate(panels):
        assert torch.equal(
            torch.as_tensor(panel.images[0].get_array()), weights[k].double()
        )
    assert bar.get_ylabel() == "w"
    assert axes.figure.get_suptitle() == "heads"
    assert overlaps(panels) == []


def test_a_row_a_graph_of_a_batch() -> None:
    batch = [attention(2, n, n) for n in (3, 7, 20)]
    names = [[f"g{g} object {i}" for i in range(n)] for g, n in enumerate((3, 7, 20))]
    axes = plot_attention(batch, names, title="batch")
    *panels, _ = axes.figure.axes
    assert len(panels) == 6
    assert panels[3].get_title() == "graph 1, head 1"
    assert tick_texts(panels[4])[0] == names[2]
    assert tick_texts(panels[5])[1] == names[2]
    assert [len(panel.texts) for panel in panels] == [9, 9, 49, 49, 0, 0]
    assert overlaps(panels) == []
    tops = [panel.get_position().y0 for panel in panels[::2]]
    assert tops == sorted(tops, reverse=True)


def test_two_sets() -> None:
    axes = plot_attention(torch.ones(2, 3))
    assert tick_texts(axes) == (["0", "1"], ["0", "1", "2"])


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (torch.ones(3), {}, r"'weights' must have shape \[n, m\].*got \[3\]"),
        (torch.ones(0, 0), {}, r"'weights' must have shape.*got \[0, 0\]"),
        ([], {}, "at least one graph"),
        ([SIGNED, torch.ones(2)], {}, r"'weights\[1\]' must have shape"),
        ([SIGNED, torch.ones(2, 2, 2)], {}, r"same number of heads.*\[1, 2\]"),
        (SIGNED * float("nan"), {}, "'weights' must be finite"),
        (SIGNED, {"names": ["a"]}, r"'names' must be a list of 2.*\(got 1\)"),
        (SIGNED, {"names": "ab"}, r"'names' must be a list of 2.*\(got 'ab'\)"),
        ([SIGNED], {"names": ["a", "b"]}, r"'names' must be a list of 1.*\(got 2\)"),
        ([SIGNED], {"names": [["a"]]}, r"'names\[0\]' must be a list of 2.*got 1"),
        (torch.ones(2, 3), {"names": ["a", "b"]}, "square.*got 2 x 3"),
        (SIGNED, {"path": "a.pdf"}, r"'path' must end in '.png' or '.svg'.*a\.pdf"),
        (torch.ones(2, 2, 2), {"ax": Figure().subplots()}, "'ax' holds one panel"),
    ],
)
def test_bad_input(weights: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_attention(weights, **options)


def test_too_many_objects_lists_the_strongest_pairs() -> None:
    weights = attention(41, 41)
    names = [f"o{i}" for i in range(41)]
    with pytest.raises(ValueError, match="at most 40 objects") as error:
        plot_attention(weights, names, top_k=3)
    listed = [f"({t}, {s}, {w:.3g})" for t, s, w in top_pairs(weights, 4, names)]
    assert str(error.value).endswith(", ".join(listed[:3]))
    assert listed[3] not in str(error.value)
    assert "got 41 x 41" in str(error.value)
    assert "top_pairs(weights, k)" in str(error.value)
    with pytest.raises(ValueError, match=r"'weights\[1\]' must have at most 2 "):
        plot_attention([SIGNED, torch.ones(3, 3)], max_objects=2)


# Scenes -------------------------------------------------------------------------------

SQUARE = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])


def pair_weights() -> torch.Tensor:
    """0-1 has 3, 1-2 has -2, 2-3 has 1; 0-2 cancels, 3-3 is with itself."""
    weights = torch.zeros(4, 4)
    weights[0, 1], weights[1, 0] = 1.0, 2.0
    weights[2, 1] = -2.0
    weights[2, 3] = 1.0
    weights[0, 2], weights[2, 0] = 5.0, -5.0
    weights[3, 3] = 9.0
    return weights


def pair_lines(axes: Axes) -> dict[tuple[tuple[float, ...], ...], Line2D]:
    lines = [line for line in axes.lines if len(line.get_xydata()) == 2]
    return {tuple(map(tuple, line.get_xydata().tolist())): line for line in lines}


def test_lines_show_weight_and_sign() -> None:
    axes = plot_scene(SQUARE, pair_weights())
    lines = pair_lines(axes)
    corners = [tuple(corner) for corner in SQUARE.tolist()]
    ends = [(corners[i], corners[j]) for i, j in ((0, 1), (1, 2), (2, 3))]
    assert set(lines) == set(ends)
    strong, negative, weak = (lines[end] for end in ends)
    widths = [line.get_linewidth() for line in (strong, negative, weak)]
    assert widths == pytest.approx([6, 1 + 10 / 3, 1 + 5 / 3])
    alphas = [line.get_alpha() for line in (strong, negative, weak)]
    assert alphas == sorted(alphas, reverse=True)
    assert len(set(alphas)) == 3
    assert strong.get_color() == weak.get_color() != negative.get_color()
    legend = axes.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["+3", "+1", "-2"]
    assert legend.get_title().get_text() == "weight of the pair, both directions"
    for line, shown in zip((strong, weak, negative), legend.get_lines(), strict=True):
        assert line.get_color() == shown.get_color()
        assert line.get_linewidth() == shown.get_linewidth()
    markers = [line for line in axes.lines if line.get_marker() == "o"]
    assert all(line.zorder < markers[0].zorder for line in lines.values())


@pytest.mark.parametrize(("max_pairs", "count"), [(0, 0), (1, 1), (2, 2), (8, 3)])
def test_only_the_strongest_pairs(max_pairs: int, count: int) -> None:
    axes = plot_scene(SQUARE, pair_weights(), max_pairs=max_pairs)
    assert len(pair_lines(axes)) == count


def test_objects_are_where_and_what_they_are() -> None:
    axes = plot_scene(
        SQUARE,
        names=["a", "b", "$c", "d"],
        colors=["red", "#00ff00", (0.0, 0.0, 1.0), "0.5"],
        shapes=["circle", "square", "circle", "square"],
        title="T",
    )
    assert [line.get_xydata().tolist() for line in axes.lines] == [
        [corner] for corner in SQUARE.tolist()
    ]
    assert [line.get_marker() for line in axes.lines] == ["o", "s", "o", "s"]
    assert [to_rgb(line.get_markerfacecolor()) for line in axes.lines] == [
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (0.5, 0.5, 0.5),
    ]
    assert [t.get_text() for t in axes.texts] == ["a", "b", "$c", "d"]
    assert [t.xy for t in axes.texts] == [tuple(c) for c in SQUARE.tolist()]
    assert axes.get_aspect() == 1.0
    assert axes.get_title() == "T"
    assert axes.get_legend() is None
    assert axes.get_ylim()[0] < axes.get_ylim()[1]
    assert not Gcf.figs


def test_the_deciding_pair_is_dashed() -> None:
    axes = plot_scene(SQUARE, deciding=(0, 2))
    (line,) = pair_lines(axes).values()
    assert line.is_dashed()
    assert line.get_xydata().tolist() == [[0.0, 0.0], [4.0, 4.0]]
    assert axes.collections[0].get_offsets().tolist() == [[0.0, 0.0], [4.0, 4.0]]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["deciding pair"]


@pytest.mark.parametrize("n", [1, 2, 6, 40])
def test_names_cover_no_marker_and_no_other_name(n: int) -> None:
    # On a jittered grid, so that no two markers touch.
    generator = torch.Generator().manual_seed(n)
    cells = torch.cartesian_prod(torch.arange(7.0), torch.arange(7.0))
    place = cells[torch.randperm(49, generator=generator)[:n]]
    place = place + 0.3 * torch.rand(n, 2, generator=generator)
    names = [f"object {i}" for i in range(n)]
    axes = plot_scene(place, attention(n, n), names, deciding=(0, n - 1))
    assert overlaps([axes]) == []
    named = [text for text in axes.texts if text.get_text()]
    frame = axes.get_window_extent()
    for text in named:
        box = Text.get_window_extent(text)
        assert frame.contains(*box.min)
        assert frame.contains(*box.max)
        for marker in axes.lines:
            if len(marker.get_xydata()) == 1:
                centre = axes.transData.transform(marker.get_xydata())[0]
                reach = marker.get_markersize() / 2 * axes.figure.dpi / 72
                body = Bbox([centre - reach, centre + reach])
                assert Bbox.intersection(box, body) is None


def test_names_are_told_apart() -> None:
    """Each name is nearest to its own marker, or joined to it by a thin line."""
    generator = torch.Generator().manual_seed(3)
    place = torch.rand(40, 2, generator=generator)
    axes = plot_scene(place, names=[f"object {i}" for i in range(40)])
    axes.figure.draw_without_rendering()
    centres = torch.from_numpy(axes.transData.transform(place.double().numpy()))
    joined = [text.xy for text in axes.texts if not text.get_text()]
    apart = 0
    for number, text in enumerate(t for t in axes.texts if t.get_text()):
        box = torch.tensor(Text.get_window_extent(text).extents)
        outside = torch.maximum(box[:2] - centres, centres - box[2:]).clamp(min=0)
        nearest = int(outside.norm(dim=1).argmin())
        apart += nearest == number or text.xy in joined
    assert apart == 40


def test_scene_on_given_axes_keeps_their_title() -> None:
    axes = Figure().subplots()
    axes.set_title("mine")
    assert plot_scene(SQUARE, ax=axes) is axes
    assert axes.get_title() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": torch.ones(4)}, r"'positions' must have shape \[n, 2\].*\[4\]"),
        ({"positions": torch.ones(0, 2)}, "'positions' must have shape"),
        ({"positions": SQUARE / 0}, "'positions' must be finite"),
        ({"weights": torch.ones(3, 3)}, r"'weights' must have shape \[4, 4\].*\[3, 3"),
        ({"weights": torch.ones(4, 4) / 0}, "'weights' must be finite"),
        ({"names": ["a"]}, r"'names' must be a list of 4.*\(got 1\)"),
        ({"colors": ["red"] * 5}, r"'colors' must be a list of 4.*\(got 5\)"),
        ({"colors": ["red"] * 3 + ["rde"]}, r"'colors\[3\]' must be .*'rde'"),
        ({"shapes": ["circle"]}, r"'shapes' must be a list of 4.*\(got 1\)"),
        ({"shapes": ["cube"] * 4}, r"'shapes\[0\]' must be one of 'circle', 'squa"),
        ({"deciding": (0, 4)}, r"'deciding' must be two objects from 0 to 3.*\(0, 4"),
        ({"deciding": (-1, 0)}, "'deciding' must be"),
        ({"deciding": (1,)}, "'deciding' must be"),
        ({"path": "scene"}, "'path' must end in"),
    ],
)
def test_bad_scene(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_scene(**({"positions": SQUARE} | options))


# Files --------------------------------------------------------------------------------


def test_files_are_png_or_svg(tmp_path: Path) -> None:
    plot_attention(SIGNED, path=tmp_path / "a.png")
    plot_attention(SIGNED, path=str(tmp_path / "a.SVG"))
    plot_scene(SQUARE, path=tmp_path / "b.svg")
    plot_scene(SQUARE, path=tmp_path / "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.SVG",
        "a.png",
        "b.png",
        "b.svg",
    ]
    for name in ("a.png", "b.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    for name in ("a.SVG", "b.svg"):
        content = (tmp_path / name).read_text()
        assert "<svg" in content
        assert content.rstrip().endswith("</svg>")


@pytest.mark.parametrize("draw", [plot_attention, plot_scene])
def test_interrupted_picture_keeps_the_old_file(
    draw: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")

    def interrupted(self: Figure, partial: Path, **_: Any) -> None:
        assert partial.parent == tmp_path
        partial.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw(SIGNED, path=path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


SENTENCES = ["a man $leeps", "nobody does"]
PROBABILITIES = {"entailment": 0.1, "neutral": 0.2, "contradiction": 0.7}
TOKENS = [["a", "man", "$leeps"], ["nobody", "does"]]


def given():
    """The weight of source j for target i is i + j / 10; the other head has twice."""
    side = torch.tensor([0, 0, 0, 1, 1])
    i, j = (side[:, None] != side[None]).nonzero().t()
    alpha = i + j / 10
    data = Data(side=side, tokens=TOKENS)
    return data, (torch.stack([j, i]), torch.stack([alpha, 2 * alpha], dim=1))


def labels(axis):
    return [label.get_text() for label in axis]


def test_rows_are_tokens_and_columns_what_they_attend_to():
    data, attention = given()
    figure = plot_sentence_pair(
        SENTENCES, PROBABILITIES, data=data, attention=attention
    )
    bars, hypothesis, premise, scale = figure.axes
    drawn = [np.asarray(ax.images[0].get_array()) for ax in (hypothesis, premise)]
    expected = 1.5 * np.array([[3.0, 3.1, 3.2], [4.0, 4.1, 4.2]])
    np.testing.assert_allclose(drawn[0], expected)
    expected = 1.5 * np.array([[0.3, 0.4], [1.3, 1.4], [2.3, 2.4]])
    np.testing.assert_allclose(drawn[1], expected)
    assert labels(hypothesis.get_yticklabels()) == TOKENS[1]
    assert labels(hypothesis.get_xticklabels()) == TOKENS[0]
    assert labels(premise.get_yticklabels()) == TOKENS[0]
    assert (premise.get_xlabel(), hypothesis.get_xlabel()) == ("hypothesis", "premise")
    # One scale for both.
    for ax in (hypothesis, premise):
        assert ax.images[0].get_clim() == pytest.approx((0.0, 6.3))
    assert scale.get_ylabel() == "attention weight, mean of heads"
    assert [bar.get_width() for bar in bars.patches] == [0.1, 0.2, 0.7]


def test_without_attention_there_are_bars_only(tmp_path):
    path = tmp_path / "pair.png"
    figure = plot_sentence_pair(SENTENCES, PROBABILITIES, data=given()[0], path=path)
    assert len(figure.axes) == 1
    heading = figure.get_suptitle().splitlines()
    assert heading[0] == "hypothesis to premise: contradiction"
    assert heading[1:] == ["premise: a man $leeps", "hypothesis: nobody does"]
    assert matplotlib.image.imread(path).ndim == 3


def test_long_sentences_are_cut():
    size = 50
    side = torch.arange(2).repeat_interleave(size)
    i, j = (side[:, None] != side[None]).nonzero().t()
    data = Data(side=side, tokens=[[f"w{k}" for k in range(size)]] * 2)
    attention = torch.stack([j, i]), torch.ones(len(i))
    figure = plot_sentence_pair(
        ["w " * 99, "w"], PROBABILITIES, data=data, attention=attention
    )
    assert figure.axes[1].images[0].get_array().shape == (40, 40)
    assert figure.axes[1].get_xlabel() == "premise (first 40 tokens)"
    assert max(map(len, figure.get_suptitle().splitlines())) <= 110


def test_bad_input_sentences(tmp_path):
    data, attention = given()
    plot = plot_sentence_pair
    with pytest.raises(ValueError, match=r"must be premise and hypothesis \(got 'one'"):
        plot("one", PROBABILITIES)
    with pytest.raises(
        ValueError, match=r"must hold 'tokens' and 'side' .*got no data"
    ):
        plot(SENTENCES, PROBABILITIES, attention=attention)
    data.tokens = [["a"], ["b"]]
    with pytest.raises(ValueError, match=r"got \[1, 1\] names for \[3, 2\] rows"):
        plot(SENTENCES, PROBABILITIES, data=data, attention=attention)
    with pytest.raises(ValueError, match=r"must end in '.png' or '.svg'"):
        plot(SENTENCES, PROBABILITIES, path=tmp_path / "pair.pdf")


Image = pytest.importorskip("PIL.Image", reason="needs the extra vision")

RELATIONS = {"same": 0.1, "larger": 0.7, "smaller": 0.2}


def test_images_answer_and_bars(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[0, 0] = (255, 0, 51)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    second = torch.full((3, 2, 2), 102, dtype=torch.uint8)
    figure = plot_image_pair([tmp_path / "a.png", second], RELATIONS)
    assert figure.get_suptitle() == "second to first: larger"
    first, other, bars = figure.axes
    assert first.get_title() == "first: a.png"
    np.testing.assert_allclose(first.images[0].get_array()[0, 0], [1, 0, 0.2])
    np.testing.assert_allclose(other.images[0].get_array(), 0.4)
    assert [bar.get_width() for bar in bars.patches] == [0.1, 0.7, 0.2]
    assert [text.get_text() for text in bars.texts] == ["10.0%", "70.0%", "20.0%"]
    assert not first.child_axes


def test_what_the_model_saw_is_in_the_corner(tmp_path: Path) -> None:
    seen = torch.arange(128).view(2, 8, 8)
    image = torch.zeros(3, 4, 4)
    path = tmp_path / "out.png"
    figure = plot_image_pair(
        [image, image],
        RELATIONS,
        data=Data(seen=seen),
        title="digits",
        path=path,
    )
    assert figure.get_suptitle() == "digits"
    for number in range(2):
        (inset,) = figure.axes[number].child_axes
        np.testing.assert_array_equal(inset.images[0].get_array(), seen[number])
    with Image.open(path) as written:
        assert written.size[0] > 500
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]


def test_large_images_are_scaled_down() -> None:
    image = torch.zeros(3, 1200, 300, dtype=torch.uint8)
    figure = plot_image_pair([image, image], RELATIONS)
    assert figure.axes[0].images[0].get_array().shape == (600, 150, 3)


def test_the_largest_bar_stands_out() -> None:
    ax = Figure().subplots()
    plot_probabilities(RELATIONS, ax)
    colours = [bar.get_facecolor() for bar in ax.patches]
    assert colours[0] == colours[2] != colours[1]
    # The first answer is on top.
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


@pytest.mark.parametrize(
    ("images", "probabilities", "path", "message"),
    [
        (
            ["a.png"],
            RELATIONS,
            None,
            "'images' must be two files or tensors",
        ),
        ("ab", RELATIONS, None, "'images' must be two files or tensors"),
        ([torch.zeros(3, 2, 2)] * 2, {}, None, "'probabilities' must name one"),
        ([torch.zeros(3, 2, 2)] * 2, {"a": 1.5}, None, r"between 0 and 1 \(got 1.5"),
        (
            [torch.zeros(3, 2, 2)] * 2,
            RELATIONS,
            "a.jpg",
            "'path' must end in",
        ),
    ],
)
def test_bad_input_is_named(
    images: object, probabilities: dict[str, float], path: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_image_pair(images, probabilities, path=path)
