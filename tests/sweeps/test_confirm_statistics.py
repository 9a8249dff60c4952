from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from sweeps.confirmation.statistics import (
    CLEAN,
    MEAN_ROBUST,
    Measurement,
    answers_by_seed,
    by_seed,
    front_standings,
    luck_of,
)
from sweeps.model_evaluation.confidence import resampled_means, spread, variance_of_images
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
    # Without answers to single images it is Student's.
    low, high = stats.t.interval(0.95, 39, found.mean, stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_images_widen_an_interval() -> None:
    answers = np.zeros((3, 100))
    answers[:, :70] = 1  # all seeds answer alike: only other images could bring another mean
    found = spread([0.7, 0.7, 0.7], of_images=variance_of_images(answers))
    half = 1.96 * np.sqrt(0.7 * 0.3 / 99)
    assert (found.sd, found.low, found.high) == pytest.approx(
        (0, 0.7 - half, 0.7 + half), rel=1e-4
    )
    many = spread([0.7, 0.7, 0.7], of_images=variance_of_images(np.tile(answers, (1, 100))))
    assert many.high is not None
    assert many.high - 0.7 == pytest.approx(half / 10, rel=0.01)
    assert spread([1.0, 1.0, 0.9], bounds=(0, 1)).high == 1


@pytest.mark.parametrize("n_seeds", [3, 5, 10])
@pytest.mark.parametrize("seed_sd", [0.0, 0.2, 1.0])
def test_intervals_cover_what_they_promise(n_seeds: int, seed_sd: float) -> None:
    """95 in 100 intervals have the mean over all seeds and images in them.

    Images differ in difficulty and seeds in skill; an answer is drawn from the sum of both.
    """
    random = np.random.default_rng(1)
    total_sd = np.sqrt(2.0**2 + seed_sd**2)
    points, weights = np.polynomial.hermite_e.hermegauss(64)
    truth = float(expit(1 + total_sd * points) @ weights / weights.sum())
    hits = 0
    for _ in range(600):
        skill, ease = seed_sd * random.normal(size=(n_seeds, 1)), random.normal(1, 2, size=200)
        answers = (random.random((n_seeds, 200)) < expit(ease + skill)).astype(np.float64)
        found = spread(
            answers.mean(axis=1).tolist(), of_images=variance_of_images(answers), bounds=(0, 1)
        )
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 600 <= 0.98


def test_draws_have_the_spread_of_seeds_and_images() -> None:
    random = np.random.default_rng(2)
    # Seeds of one answer each, and images that all seeds answer alike.
    seeds = np.repeat(random.normal(size=(4, 1)), 50, axis=1)
    images = np.repeat(random.normal(size=(1, 50)), 4, axis=0)
    drawn = np.array(list(resampled_means(np.stack([seeds, images]), 4000)))
    assert drawn[:, 0].var() == pytest.approx(seeds[:, 0].var(ddof=1) / 4, rel=0.06)
    assert drawn[:, 1].var() == pytest.approx(images[0].var() / 50, rel=0.06)
    assert drawn.mean(axis=0) == pytest.approx([seeds.mean(), images.mean()], abs=0.02)


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
    # Of two seeds drawn, only seed 1 twice makes "shaky" as clean as it and more robust.
    assert found["sure"].on_front
    assert found["sure"].share == pytest.approx(8 / 9, abs=0.03)
    assert (found["beaten"].on_front, found["beaten"].share) == (False, 0.0)
    assert not found["shaky"].on_front
    assert found["shaky"].share == pytest.approx(1 / 9, abs=0.03)
    assert front_standings([], AXES) == {}


def test_standings_know_that_other_images_may_turn_a_front() -> None:
    # "even" wins on one image alone; without that image it is dominated.
    better, worse = np.zeros(20, np.float32), np.zeros(20, np.float32)
    better[:10], worse[:5], worse[19] = 1, 1, 1
    rows = [
        Measurement(
            configuration=name,
            seed=seed,
            split="test",
            measure=measure,
            value=value,
            images=images,
        )
        for name, clean, images in (("ahead", 0.9, better), ("even", 0.9, worse))
        for seed in (1, 2, 3)
        for measure, value in ((CLEAN, clean), (MEAN_ROBUST, float(images.mean())))
    ]
    found = front_standings(rows, AXES)
    assert found["ahead"].on_front
    assert not found["even"].on_front
    assert 0 < found["even"].share < 0.15
    assert answers_by_seed(rows, "test", CLEAN)["even"].tolist() == [worse.tolist()] * 3
    assert answers_by_seed([*rows, *measured("even", [0.9], [0.1])], "test", CLEAN).keys() == {
        "ahead"
    }


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
