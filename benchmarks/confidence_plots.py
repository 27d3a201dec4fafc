"""Draws the reliability of the confidence and the evidence that windows keep; the only matplotlib user."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.confidence_train import SIZES, Doubles, Point, Windows

_INK, _OURS, _OTHER = "#334155", "#0f766e", "#b45309"
Bins = Sequence[tuple[float, float, float]]


def draw(folder: Path, reliability: Mapping[str, Bins], windows: Windows, points: Sequence[Point], w: Doubles) -> None:
    """Write confidence-reliability.svg and evidence-by-tokens.svg into the folder; `w` are the cases' weights."""
    # The same figure gives the same file: no date, no random ids.
    with mpl.rc_context({"svg.hashsalt": "context-gateway", "font.size": 10, "axes.edgecolor": _INK}):
        _save(folder / "confidence-reliability.svg", lambda axes: _reliability(axes, reliability))
        _save(folder / "evidence-by-tokens.svg", lambda axes: _evidence(axes, windows, points, w))


def _save(file: Path, paint: Callable[[Axes], None]) -> None:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=True, alpha=0.3)
    paint(axes)
    axes.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None})
    print(f"{file} drawn")


def _reliability(axes: Axes, reliability: Mapping[str, Bins]) -> None:
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=1, linestyle=":", label="perfect")
    for (title, bins), colour in zip(reliability.items(), (_OURS, _OTHER), strict=True):
        estimates, kept, shares = (np.array(column) for column in zip(*bins, strict=True))
        axes.plot(estimates, kept, color=colour, label=f"{title} held out")
        axes.scatter(estimates, kept, s=20 + 400 * shares, color=colour, alpha=0.5)
    axes.set(xlabel="estimated share of the evidence inside", ylabel="share that was", xlim=(0, 1), ylim=(0, 1))


def _evidence(axes: Axes, windows: Windows, points: Sequence[Point], weights: Doubles) -> None:
    tokens, kept = (np.average(column, axis=0, weights=weights) for column in (windows.tokens, windows.kept))
    axes.plot(tokens, kept, color=_OTHER, marker="o", markersize=4, label="fixed window")
    axes.plot([p.tokens for p in points], [p.kept for p in points], color=_OURS, marker="s", label="elastic, trimmed")
    for point in points:
        axes.annotate(f"{point.target:g}", (point.tokens, point.kept), (4, -12), textcoords="offset points")
    axes.set(xlabel="retrieved tokens, mean", ylabel="evidence kept", xscale="log")
    axes.set_xticks(SIZES[::2], [f"{size:,}" for size in SIZES[::2]])
    axes.minorticks_off()
