"""Analyses of a trial: when they run, and where what they find goes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from hsplid_core.analysis_config import SaliencyConfig
from hsplid_core.config import DataConfig
from tests.tiny import tiny_trial
from trainables import analyses
from trainables.findings import Findings, Subject
from trainables.trainable import Assignment, SweepTrainable
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
        assignment = Assignment(number=0, base=config, parameters={}, threads=1, resume_from=None)
        trainable = SweepTrainable({"assignment": assignment})
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
