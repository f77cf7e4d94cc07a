from __future__ import annotations

import numpy as np
import pytest

from index.search.combine import align, combine
from index.search.confidence import Background

NONE = np.zeros((0, 2))


def test_all_of_several_is_the_worst_match() -> None:
    assert combine(np.array([[0.5, 0.1], [0.4, 0.9]]), NONE, []).tolist() == [0.4, 0.1]


def test_what_is_not_wanted_takes_off_what_it_has_above_its_median() -> None:
    total = combine(np.array([[0.5, 0.5]]), np.array([[0.3, 0.1]]), [0.2])
    assert total == pytest.approx([0.4, 0.5])  # below the median it gives nothing


def test_scores_move_to_another_background() -> None:
    assert align(np.array([0.7, 0.8]), Background(0.7, 0.1), Background(0.2, 0.02)) == pytest.approx([0.2, 0.22])
