"""The pictures that need matplotlib; each function draws into an empty Figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.demo.example import Array, Band

BLUE, RED, GREEN, GREY = "#2a6fbb", "#c8323c", "#3a8f4f", "#888888"


def mexican_hat(figure: Any, hat: Callable[[Array], Array], points: Array, curve: Sequence[float]) -> None:
    """The hat with the points that are moved, and the error while they move."""
    figure.set_size_inches(9, 3.6)
    left, right = figure.subplots(1, 2)
    x = np.arange(-2, 2, 0.01)
    left.plot(x, hat(x), color=BLUE)
    left.plot(points, hat(points), marker="x", color=RED, label="the 21 points")
    left.set(title="the Mexican hat", xlabel="x", ylabel="hat(x)")
    left.legend()
    right.plot(curve, color=BLUE)
    right.set(title="sum of the hat at w*x", xlabel="step", ylabel="error")
    _tidy(left, right)


def descent(figure: Any, weights: Sequence[float], errors: Sequence[float]) -> None:
    """A weight on its way to the minimum."""
    figure.set_size_inches(9, 3.6)
    left, right = figure.subplots(1, 2)
    left.plot(weights, color=GREEN)
    left.axhline(1.42215146, color=GREY, linestyle=":", label="minimum of the sum")
    left.axhline(np.sqrt(2), color=GREY, linestyle="--", label=r"$\sqrt{2}$")
    left.set(title="the weight", xlabel="step", ylabel="w")
    left.legend()
    right.plot(errors, color=BLUE)
    right.set(title="the error", xlabel="step", ylabel="error")
    _tidy(left, right)


def gates(
    figure: Any,
    costs: Sequence[float],
    inputs: Sequence[Sequence[int]],
    neurons: Sequence[tuple[str, Sequence[int], Array, float]],
) -> None:
    """The cost, and for each neuron the line on which it is undecided."""
    figure.set_size_inches(4.3 * (1 + len(neurons)), 4.1)
    first, *others = figure.subplots(1, 1 + len(neurons))
    first.semilogy(costs, color=BLUE)
    first.set(title="cost", xlabel="step")
    points = np.array(inputs)
    x = np.linspace(-0.5, 1.5, 201)
    grid_x, grid_y = np.meshgrid(x, x)
    for axes, (name, targets, w, b) in zip(others, neurons, strict=True):
        activation = 1 / (1 + np.exp(-(w[0] * grid_x + w[1] * grid_y + b)))
        axes.imshow(activation, extent=(-0.5, 1.5, -0.5, 1.5), origin="lower", cmap="RdBu", vmin=-0.3, vmax=1.3)
        axes.plot(x, -(w[0] * x + b) / w[1], color="black", label="output 0.5")
        for answer, colour in ((0, "black"), (1, "white")):
            chosen = points[[target == answer for target in targets]]
            axes.scatter(chosen[:, 0], chosen[:, 1], color=colour, s=90, edgecolor="black", label=f"target {answer}")
        axes.set(title=f"{name} as learned", xlabel="p", ylabel="q", xlim=(-0.5, 1.5), ylim=(-0.5, 1.5))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=3, fontsize="small", handlelength=1.2)
        _tidy(axes, grid=False)
    _tidy(first)


def loss_with_bands(figure: Any, losses: Mapping[int, float], bands: Mapping[int, Band]) -> None:
    """The loss, and where it may lie."""
    figure.set_size_inches(6, 3.8)
    axes = figure.subplots()
    axes.plot(list(losses), list(losses.values()), color=BLUE, marker=".", label="loss")
    shown = [(i, band) for i, band in bands.items() if i in losses]
    middle = [(band.low + band.high) / 2 for _, band in shown]
    reach = [(band.high - band.low) / 2 for _, band in shown]
    axes.errorbar([i for i, _ in shown], middle, reach, fmt="none", ecolor=RED, capsize=5, label="expected range")
    axes.set(title="two moons: the loss", xlabel="pass", ylabel="loss", ylim=(0, None))
    axes.legend()
    _tidy(axes)


def boundary(figure: Any, predict: Callable[[Array], Array], points: Array, labels: Array, hidden: int) -> None:
    """Which class is predicted where."""
    figure.set_size_inches(6, 4.5)
    axes = figure.subplots()
    (x_min, y_min), (x_max, y_max) = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
    xx, yy = np.meshgrid(np.arange(x_min, x_max, 0.01), np.arange(y_min, y_max, 0.01))
    Z = predict(np.c_[xx.ravel(), yy.ravel()]).reshape(xx.shape)
    axes.contourf(xx, yy, Z, levels=[-0.5, 0.5, 1.5], cmap="Spectral", alpha=0.6)
    axes.scatter(points[:, 0], points[:, 1], c=labels, cmap="Spectral", s=30, edgecolor="black", linewidth=0.6)
    axes.set(title=f"two moons: the decision of {hidden} hidden neurons", xlabel="$x_1$", ylabel="$x_2$")
    _tidy(axes, grid=False)


def _tidy(*all_axes: Any, grid: bool = True) -> None:
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        if grid:
            axes.grid(alpha=0.25)
