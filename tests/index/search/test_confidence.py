from __future__ import annotations

import numpy as np
import pytest

from index.search.confidence import (
    MIDDLE,
    MIN_CLIPS,
    MIN_CONFIDENCE,
    Background,
    Reference,
    background_of,
    confidence,
    reference_of,
    stands_out,
)


def test_a_background_is_robust_against_what_stands_out() -> None:
    scores = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    assert background_of(scores) == pytest.approx(Background(0.2, 0.14826))
    assert background_of(np.array([*scores[:4], 100.0])) == pytest.approx(Background(0.2, 0.14826))


def test_a_background_that_is_mostly_one_number_has_a_spread_all_the_same() -> None:
    assert background_of(np.array([0.0, 0.0, 0.0, 0.4])) == pytest.approx(Background(0.0, 0.4 * np.sqrt(3) / 4))
    assert background_of(np.array([0.5])) == Background(0.5, 1e-6)


def test_the_reference_is_the_mean_of_the_best_that_say_nothing() -> None:
    scores = np.array([[0.0, 0.1, 0.2, 0.3, 0.4], [0.2, 0.4, 0.6, np.nan, 0.0]])
    assert reference_of(scores) == pytest.approx(Reference(0.5, 0.22239))


def test_confidence_rises_from_0_to_1_and_is_a_half_in_the_middle() -> None:
    reference = Reference(0.5, 0.02)
    assert confidence(0.5 + 0.02 * MIDDLE, reference) == pytest.approx(0.5)
    assert confidence(0.5 + 0.02 * (MIDDLE + 5), reference) == pytest.approx(0.8957, abs=1e-4)
    assert confidence(0.5, reference) == pytest.approx(0.325, abs=1e-3)
    assert confidence(-1.0, Reference(1.0, 1e-6)) == 0.0
    assert confidence(1.0, Reference(-1.0, 1e-6)) == 1.0


def test_what_stands_out() -> None:
    assert stands_out(MIN_CONFIDENCE, MIN_CLIPS)
    assert not stands_out(MIN_CONFIDENCE - 1e-9, MIN_CLIPS)
    assert stands_out(0.0, MIN_CLIPS - 1)
