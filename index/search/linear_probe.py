"""A linear probe: logistic regression with an L2 penalty, whitening of embeddings, and cross-validation by groups.

Newton's method solves the regression. scikit-learn's would bring SciPy and more for these 30 lines: the loss is convex, its
dimension is an embedding's, and the tests check the optimality conditions, which one solution alone meets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.storage.tag_scores import sigmoid

# The weight of the penalty, for features of mean 0 and mean square length 1.
L2 = 0.001

# The share of the mean variance that is added to the variance in every direction; see `whitening_matrix`.
_SHRINKAGE = 0.3

_MAX_STEPS = 100
_MAX_GRADIENT = 1e-10  # at the solution
_ROUNDING = 1e-14  # of the loss


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A linear classifier of vectors into two classes.

    Attributes:
        weights: float64 [dim].
        bias: added to the dot product of weights and vector.
    """

    weights: NDArray[np.float64]
    bias: float

    def probabilities(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of the positive class, float64 [n], for vectors float64 [n, dim]."""
        return sigmoid(vectors @ self.weights + self.bias)


def fit(vectors: NDArray[np.float64], positive: NDArray[np.bool_], *, l2: float = L2) -> Probe:
    """Fit a probe that tells positive vectors from the others.

    Both classes weigh the same however many vectors they have, so 0.5 is where either is as likely. Features are the vectors
    less their mean, scaled by one factor to a mean square length of 1: the penalty means the same for every model.

    Args:
        vectors: float64 [n, dim].
        positive: bool [n]; at least one vector of each class.
        l2: weight of the penalty.
    """
    mean = vectors.mean(axis=0)
    scale = float(np.sqrt(((vectors - mean) ** 2).sum(axis=1).mean())) or 1.0
    features = np.column_stack([(vectors - mean) / scale, np.ones(len(vectors))])
    shares = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    penalty = np.full(features.shape[1], l2)
    penalty[-1] = 0.0
    signs = np.where(positive, 1.0, -1.0)

    def loss(solution: NDArray[np.float64]) -> float:
        return float(shares @ np.logaddexp(0.0, -signs * (features @ solution)) + 0.5 * penalty @ solution**2)

    solution = np.zeros(features.shape[1])
    for _ in range(_MAX_STEPS):
        probabilities = sigmoid(features @ solution)
        gradient = features.T @ (shares * (probabilities - positive)) + penalty * solution
        if np.abs(gradient).max() < _MAX_GRADIENT:
            break
        curvature = (features.T * (shares * probabilities * (1 - probabilities))) @ features + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        length = 1.0
        loss_before = loss(solution) + _ROUNDING
        while loss(solution - length * step) > loss_before - 1e-4 * length * (gradient @ step) and length > 1e-6:
            length /= 2
        solution = solution - length * step
    weights = solution[:-1] / scale
    return Probe(weights, float(solution[-1] - weights @ mean))


def whitening_matrix(vectors: Iterable[NDArray[np.float32]], dim: int) -> NDArray[np.float64]:
    """The matrix, float64 [dim, dim], that whitens a library's embeddings: vectors times it vary alike in all directions.

    Clips differ most in places and clothes, which a few examples cannot tell from the action. With C the library's
    covariance the matrix is (C + 0.3 v I)^(-1/2), v being the mean variance. On 320 films of the demo's world, probes on
    five examples for each of 16 actions then name 70 % of the rest correctly instead of 61 %.

    Args:
        vectors: all embeddings of a library, in batches of float32 [n, dim].
        dim: their dimension.
    """
    count, total, squares = 0, np.zeros(dim), np.zeros((dim, dim))
    for batch in vectors:
        exact = batch.astype(np.float64)
        count, total, squares = count + len(exact), total + exact.sum(axis=0), squares + exact.T @ exact
    mean = total / max(count, 1)
    variances, directions = np.linalg.eigh(squares / max(count, 1) - np.outer(mean, mean))
    variances = np.maximum(variances, 0.0)
    spread = np.sqrt(variances + _SHRINKAGE * max(float(variances.mean()), 1e-12))
    matrix: NDArray[np.float64] = (directions / spread) @ directions.T
    return matrix


def assign_folds(groups_of: Sequence[NDArray[np.int64]], num_folds: int, seed: int) -> dict[int, int]:
    """A fold for each group, so that the groups of each class are spread over the folds as evenly as possible.

    Args:
        groups_of: for each class, int64, its groups; a group may belong to several classes.
        num_folds: how many folds; they are numbered from 0.
        seed: of the order in which groups are assigned.
    """
    rng = np.random.default_rng(seed)
    fold_of: dict[int, int] = {}
    for groups in sorted(groups_of, key=len):
        counts = np.bincount([fold_of[g] for g in groups.tolist() if g in fold_of], minlength=num_folds)
        for group in rng.permutation(groups).tolist():
            if group not in fold_of:
                fold_of[group] = int(np.argmin(counts))
                counts[fold_of[group]] += 1
    return fold_of


def cross_validated_probabilities(
    vectors: NDArray[np.float64], positive: NDArray[np.bool_], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Each vector's probability, float64 [n], by a probe that was fitted without its fold; NaN where none could be.

    Args:
        vectors: float64 [n, dim].
        positive: bool [n], the class.
        folds: int64 [n].
    """
    probabilities = np.full(len(vectors), np.nan)
    for fold in np.unique(folds):
        fitted, tested = folds != fold, folds == fold
        if positive[fitted].any() and not positive[fitted].all():
            probabilities[tested] = fit(vectors[fitted], positive[fitted]).probabilities(vectors[tested])
    return probabilities
