"""The solver against the conditions that the one solution fulfils."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from index.search.linear_probe import L2, assign_folds, cross_validated_probabilities, fit, whitening_matrix


def test_two_points_have_a_solution_in_closed_form() -> None:
    """At -1 and 1, the slope w solves l2 * w = 1 - sigmoid(w)."""
    probe = fit(np.array([[-1.0], [1.0]]), np.array([False, True]), l2=0.1)
    assert probe.bias == pytest.approx(0.0, abs=1e-9)
    w = float(probe.weights[0])
    assert w == pytest.approx((1 - 1 / (1 + np.exp(-w))) / 0.1, abs=1e-8)
    assert probe.probabilities(np.array([[0.0], [1.0]])) == pytest.approx([0.5, 1 / (1 + np.exp(-w))])


@pytest.mark.parametrize(("count", "dim"), [(8, 40), (200, 5), (30, 30)])
@pytest.mark.parametrize("l2", [1e-4, L2, 1.0])
def test_nothing_is_better_than_the_solution(count: int, dim: int, l2: float) -> None:
    """The gradient of the loss, by PyTorch, is zero there; the loss is convex, so that says it all."""
    rng = np.random.default_rng(count)
    vectors = rng.normal(3.0, 2.0, (count, dim))
    positive = rng.random(count) < 0.3
    positive[:2] = True, False
    probe = fit(vectors, positive, l2=l2)
    x = torch.tensor(vectors)
    mean = x.mean(0)
    scale = ((x - mean) ** 2).sum(1).mean().sqrt()
    weights = (torch.tensor(probe.weights) * scale).requires_grad_()
    bias = (torch.tensor(probe.bias, dtype=torch.float64) + mean @ torch.tensor(probe.weights)).requires_grad_()
    y = torch.tensor(positive, dtype=torch.float64)
    each = torch.nn.functional.binary_cross_entropy_with_logits((x - mean) / scale @ weights + bias, y, reduction="none")
    loss = each[y == 1].mean() / 2 + each[y == 0].mean() / 2 + l2 / 2 * (weights**2).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    assert bias.grad is not None
    assert float(weights.grad.abs().max()) < 1e-8
    assert abs(float(bias.grad)) < 1e-8


def test_the_penalty_means_the_same_at_any_scale_and_place() -> None:
    rng = np.random.default_rng(0)
    vectors, positive = rng.normal(size=(40, 6)), np.arange(40) < 10
    probabilities = fit(vectors, positive).probabilities(vectors)
    moved = vectors * 1e-3 + 7.0
    assert fit(moved, positive).probabilities(moved) == pytest.approx(probabilities, abs=1e-6)


def test_vectors_that_are_all_alike_teach_nothing() -> None:
    probe = fit(np.ones((6, 3)), np.arange(6) < 2)
    assert probe.probabilities(np.ones((1, 3))) == pytest.approx([0.5])


def test_evening_leaves_no_direction_to_outweigh_the_others() -> None:
    """Of variances 9, 1 and 0 the mean is 10/3, three tenths of which are added to each."""
    corners = np.array([[3.0, 1.0, 5.0], [3.0, -1.0, 5.0], [-3.0, 1.0, 5.0], [-3.0, -1.0, 5.0]], np.float32)
    expected = np.diag([10.0**-0.5, 2.0**-0.5, 1.0])
    assert whitening_matrix([corners[:3], corners[3:]], 3) == pytest.approx(expected, abs=1e-9)
    assert np.isfinite(whitening_matrix([np.ones((2, 3), np.float32)], 3)).all()


def test_moments_are_dealt_evenly_and_the_same_for_the_same_seed() -> None:
    classes = [np.arange(0, 5), np.arange(5, 7), np.array([6, 7, 8, 9, 10, 11])]
    dealt = assign_folds(classes, 2, seed=1)
    assert assign_folds(classes, 2, seed=1) == dealt
    assert sorted(dealt) == list(range(12))
    for groups in classes:
        counts = np.bincount([dealt[int(group)] for group in groups], minlength=2)
        assert abs(counts[0] - counts[1]) <= 1


def test_what_is_judged_has_not_been_seen() -> None:
    """One odd row alone in its class and fold cannot be known to the probe that judges it."""
    vectors = np.array([[1.0, 0.0], [1.1, 0.0], [-1.0, 0.0], [-1.1, 0.0], [0.0, 9.0]])
    positive = np.array([True, True, False, False, True])
    judged = cross_validated_probabilities(vectors, positive, np.array([0, 1, 0, 1, 2]))
    without = fit(vectors[:4], positive[:4]).probabilities(vectors[4:])
    assert judged[4:] == pytest.approx(without)
    assert np.isnan(cross_validated_probabilities(vectors[:2], np.array([True, False]), np.array([0, 1]))).all()
