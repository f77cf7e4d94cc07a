"""Lines between the times of two videos: found with their speed among points that lie anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from index.search.time_lines import Points, find_lines


def points(*parts: tuple[np.ndarray, np.ndarray]) -> Points:
    time_s, other_s = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Points(time_s.astype(float), other_s.astype(float), np.ones(len(time_s)), np.ones(len(time_s)))


def astray(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 100, count), rng.uniform(0, 100, count)


TIMES = np.arange(10.0, 40.0, 2.0)


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.0, 1.04, 1.25, 2.0])
def test_speed_and_offset_are_found_among_points_astray(speed: float) -> None:
    (line, *_) = find_lines(points((TIMES, 5 + speed * TIMES), astray(20)), 0.3, 10.0, 5.0)
    assert line.speed == pytest.approx(speed, abs=0.01)
    assert line.at(25.0) == pytest.approx(5 + speed * 25, abs=0.2)
    assert (line.start_s, line.end_s, line.points) == (10.0, 38.0, 15)


def test_speed_that_is_nearly_one_is_one() -> None:
    noise = np.random.default_rng(1).uniform(-0.05, 0.05, len(TIMES))
    (line,) = find_lines(points((TIMES, TIMES + 3 + noise)), 0.3, 10.0, 2.0)
    assert line.speed == 1.0


def test_parts_in_another_order_are_lines_of_their_own() -> None:
    first, second = np.arange(0.0, 20.0, 2.0), np.arange(20.0, 32.0, 2.0)
    lines = find_lines(points((first, first + 50), (second, second - 10)), 0.3, 10.0, 2.0)
    assert [(line.start_s, line.end_s) for line in lines] == [(0.0, 18.0), (20.0, 30.0)]
    assert [line.at(line.start_s) for line in lines] == pytest.approx([50.0, 10.0])


def test_a_line_ends_at_a_long_gap() -> None:
    late = TIMES + 60
    lines = find_lines(points((TIMES, TIMES), (late, late)), 0.3, 10.0, 2.0)
    assert sorted((line.start_s, line.end_s) for line in lines) == [(10.0, 38.0), (70.0, 98.0)]


def test_no_second_of_either_video_is_on_two_lines() -> None:
    lines = find_lines(points((TIMES, TIMES), (TIMES[:10], TIMES[:10] + 50), (TIMES[:9] + 60, TIMES[:9])), 0.3, 10.0, 2.0)
    assert len(lines) == 1


def test_too_little_weight_is_no_line() -> None:
    assert find_lines(points((TIMES[:3], TIMES[:3])), 0.3, 10.0, 3.5) == []
    assert find_lines(points((TIMES[:0], TIMES[:0])), 0.3, 10.0, 0.5) == []
