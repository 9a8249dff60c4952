"""Analyses of a trial: when they run, and where what they find goes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hsplid_core.config import DataConfig
from hsplid_core.config.analyses import PixelConfig, SaliencyConfig, SinglePixelConfig
from hsplid_core.errors import ConfigError
from hsplid_core.saliency.single_pixel import INCORRECT, OVERALL
from tests.tiny import tiny_trial
from tests.trainables.workers import worker
from trainables import analyses
from trainables.analysis import Findings, Subject
from trainables.trial import Trial


def test_findings_join_the_epoch_that_measures_robustness(
    data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(subject: Subject) -> Findings:
        n_images = float(len(subject.validation))
        return Findings(metrics={"val/n": n_images}, tables={"sizes": {"n": [n_images]}})

    monkeypatch.setattr(analyses, "ANALYSES", {"saliency": count})
    base = tiny_trial(data)
    evaluation = dataclasses.replace(base.evaluation, every=2, saliency=SaliencyConfig())
    given = dataclasses.replace(base, evaluation=evaluation)
    results = {}
    for name, config in (("off", base), ("on", given)):
        trainable = worker(config)
        results[name] = [trainable.train() for _ in range(3)]
    assert [result["metrics"].get("val/n") for result in results["on"]] == [None, 32, 32]
    assert not any("val/n" in result["metrics"] for result in results["off"])
    assert ["tables" in result for result in results["on"]] == [False, False, True]
    tables = {name: json.loads(runs[2]["tables"]) for name, runs in results.items()}
    assert tables["on"].pop("sizes") == {"n": [32]}
    assert tables["on"] == tables["off"]
    assert "robustness" in tables["off"]


def test_saliency_of_a_trial(data: DataConfig) -> None:
    section = SaliencyConfig(methods=("gradient", "grad_cam"), max_images=8, steps=4)
    base = tiny_trial(data)
    trial = Trial(
        dataclasses.replace(
            base,
            evaluation=dataclasses.replace(base.evaluation, saliency=section),
            training=dataclasses.replace(base.training, epochs=1),
        )
    )
    metrics = trial.epoch()
    for method in section.methods:
        for score in section.scores:
            assert 0 <= metrics[f"val/saliency/{method}/{score}"] <= 1
    assert metrics["val/saliency/images"] == 8
    assert metrics["val/saliency/without_mask"] == 0
    assert metrics["val/saliency/salient_features"] == metrics["hsplid/salient_dims"]
    assert 0.2 < metrics["val/saliency/probe/salient_accuracy"] <= 1
    assert 0 < metrics["val/saliency/probe/nonsalient_accuracy"] <= 1


def test_the_single_pixel_benchmark_of_a_trial(data: DataConfig) -> None:
    base = tiny_trial(data)
    section = SinglePixelConfig(jitters=((0.0, 0.0), (1.0, 3.0)), steps=2, max_images=8)
    config = dataclasses.replace(
        base,
        data=dataclasses.replace(data, pixel=PixelConfig(seed=1, colour_sd=2.0)),
        evaluation=dataclasses.replace(base.evaluation, single_pixel=section),
        training=dataclasses.replace(base.training, epochs=1),
        seed=5,
    )
    trial = Trial(config)
    metrics = trial.epoch()
    table = trial.tables["single_pixel"]
    rows = 2 * 5 * 2 * 2  # jitters, methods, labels, outputs
    assert {len(column) for column in table.values()} == {rows}
    assert set(OVERALL) | set(INCORRECT) <= set(table)
    assert list(zip(table["test_pos_sd"], table["test_col_sd"], strict=True)) == [
        *([(0.0, 0.0)] * 20),
        *([(1.0, 3.0)] * 20),
    ]
    assert {*table["data_seed"], *table["model_seed"], *table["train_col_sd"]} == {1, 5, 2.0}
    assert metrics["val/single_pixel/accuracy_same"] == metrics["val/accuracy"]
    assert 0 <= metrics["val/single_pixel/attribution_correct"] <= 1
    json.dumps(trial.tables, allow_nan=False)


def test_what_the_images_do_not_allow_is_told_before_training(data: DataConfig) -> None:
    base = tiny_trial(data)
    evaluation = dataclasses.replace(base.evaluation, single_pixel=SinglePixelConfig())
    with pytest.raises(ConfigError, match=r"data\.pixel is not"):
        Trial(dataclasses.replace(base, evaluation=evaluation))
    digits = dataclasses.replace(data, name="mnist", root=None, image_size=28)
    full = dataclasses.replace(base.evaluation, saliency=SaliencyConfig(), region="full")
    with pytest.raises(ConfigError, match="these images have none"):
        Trial(dataclasses.replace(base, data=digits, evaluation=full))


def test_a_region_without_masks_is_refused_before_a_trial_trains(
    data: DataConfig, tmp_path: Path
) -> None:
    plain = DataConfig(name="cifar10", image_size=32, cache_dir=tmp_path)
    config = dataclasses.replace(tiny_trial(data), data=plain)
    with pytest.raises(ConfigError, match=r"evaluation.region is background, but .* no object"):
        Trial(config)
