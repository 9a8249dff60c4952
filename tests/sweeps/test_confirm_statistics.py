from __future__ import annotations

import numpy as np
import pytest

from sweeps.confirmation.statistics import (
    CLEAN,
    MEAN_ROBUST,
    Measurement,
    by_seed,
    front_standings,
    luck_of,
    spread,
)
from sweeps.spec.objective import Objective

AXES = [("test", Objective(CLEAN)), ("test", Objective(MEAN_ROBUST))]


def measured(name: str, clean: list[float], robust: list[float]) -> list[Measurement]:
    return [
        Measurement(configuration=name, seed=seed, split="test", measure=measure, value=value)
        for measure, values in ((CLEAN, clean), (MEAN_ROBUST, robust))
        for seed, value in enumerate(values, start=1)
    ]


def test_a_spread_is_mean_deviation_and_interval() -> None:
    values = np.random.default_rng(0).normal(0.7, 0.05, size=40).tolist()
    found = spread(values)
    assert found.n == 40
    assert found.mean == pytest.approx(np.mean(values))
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    # With 40 seeds, the bootstrap of the mean is close to the normal interval.
    half = 1.96 * np.std(values, ddof=1) / np.sqrt(40)
    assert found.low == pytest.approx(found.mean - half, abs=0.2 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.2 * half)
    assert spread(values) == found


def test_a_spread_of_few_or_equal_values() -> None:
    assert spread([0.5]).sd is None
    assert spread([0.5]).low is None
    same = spread([0.5, 0.5, 0.5])
    assert (same.sd, same.low, same.high) == (0, 0.5, 0.5)


def test_measures_are_collected_by_seed() -> None:
    found = by_seed(measured("a", [0.1, 0.2], [0.3, 0.4]), "test", MEAN_ROBUST)
    assert found == {"a": {1: 0.3, 2: 0.4}}
    assert by_seed(measured("a", [0.1], [0.3]), "val", CLEAN) == {}


def test_standings_are_of_means_and_say_how_sure_they_are() -> None:
    measurements = [
        *measured("sure", [0.9, 0.9, 0.9], [0.1, 0.1, 0.1]),
        *measured("beaten", [0.8, 0.8, 0.8], [0.05, 0.05, 0.05]),
        *measured("shaky", [0.9, 0.5, 0.5], [0.2, 0.0, 0.0]),
        *measured("failed once", [0.99], [0.99]),
    ]
    found = front_standings(measurements, AXES)
    assert list(found) == ["sure", "beaten", "shaky"]
    # Only seed 1 alone, in one of 27 draws, makes "shaky" as clean as it and more robust.
    assert found["sure"].on_front
    assert found["sure"].share == pytest.approx(26 / 27, abs=0.02)
    assert (found["beaten"].on_front, found["beaten"].share) == (False, 0.0)
    # On the front where seed 1 is drawn twice (0.133 > 0.1) or three times: 7 of 27 draws.
    assert not found["shaky"].on_front
    assert found["shaky"].share == pytest.approx(7 / 27, abs=0.04)
    assert front_standings([], AXES) == {}


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_luck_is_what_does_not_come_again(direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    luck = luck_of(
        sign * 0.9,
        {1: sign * 0.8, 2: sign * 0.7},
        direction,
        searched_baseline=sign * 0.5,
        confirmed_baseline={1: sign * 0.6, 2: sign * 0.7, 3: sign * 0.1},
    )
    assert luck.confirmed == pytest.approx(sign * 0.75)
    assert luck.luck == pytest.approx(0.15)
    assert luck.promised == pytest.approx(0.4)
    assert luck.kept == pytest.approx(0.1)


def test_luck_without_a_baseline() -> None:
    luck = luck_of(0.9, {1: 0.95}, "maximize", searched_baseline=None, confirmed_baseline={})
    assert luck.luck == pytest.approx(-0.05)
    assert (luck.promised, luck.kept) == (None, None)
