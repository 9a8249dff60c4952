from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hsplid_core.data import build_or_open
from search_spaces import ParameterValue
from sweeps.engine.context import SweepContext
from sweeps.engine.gpu_sharing import measured_slots, rounds, slots_per_gpu
from sweeps.engine.study_run import _memory_growth
from sweeps.spec.cluster_spec import ResourcesSpec
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from tests.hsplid_core.data.made_source import MadeSource

AUTO = ResourcesSpec(cpu=2, gpu="auto")


@pytest.mark.parametrize(
    ("peak", "total", "slots"),
    # 1.25 times the peak and 600 MiB of context each: 7100, 3100, 850 and 600 MiB.
    [(5_200, 24_000, 3), (2_000, 24_000, 7), (200, 81_000, 16), (30_000, 24_000, 1)],
)
def test_slots_follow_the_measured_peak(peak: float, total: float, slots: int) -> None:
    assert slots_per_gpu(peak, total) == slots


def flat(parameters: Mapping[str, ParameterValue]) -> float:
    return 1.0


def measured(
    study: optuna.Study, peak: float, parameters: Mapping[str, ParameterValue] | None = None
) -> None:
    trial = study.ask()
    trial.set_user_attr("parameters", dict(parameters or {}))
    trial.set_user_attr("metrics", {"memory_mib": peak})
    trial.set_user_attr("gpu_memory_mib", 24_000.0)
    study.tell(trial, 0.5)


def test_auto_measures_one_trial_and_packs_the_others() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    planned = rounds(study, AUTO, 9, gpus=2)
    assert next(planned) == ({"cpu": 2, "gpu": 1.0}, 1)
    measured(study, 2_000)
    assert next(planned) == ({"cpu": 2, "gpu": pytest.approx(1 / 7)}, 9)
    # A sweep that goes on knows already; the largest peak counts.
    measured(study, 5_200)
    assert measured_slots(study, flat) == 3
    assert list(rounds(study, AUTO, 9, gpus=2)) == [({"cpu": 2, "gpu": pytest.approx(1 / 3)}, 9)]


def test_an_interrupted_trial_is_the_one_that_is_measured() -> None:
    study = optuna.create_study()
    study.ask()
    assert next(rounds(study, AUTO, 9, gpus=1)) == ({"cpu": 2, "gpu": 1.0}, 1)
    study.tell(0, state=TrialState.FAIL)
    # Nothing was measured: the next trial is, and without any the GPU is not shared.
    assert list(rounds(study, AUTO, 9, gpus=1)) == [
        ({"cpu": 2, "gpu": 1.0}, 2),
        ({"cpu": 2, "gpu": 1.0}, 9),
    ]


def test_a_given_share_stays_and_auto_without_gpus_is_none() -> None:
    study = optuna.create_study()
    half = ResourcesSpec(gpu=0.5)
    assert list(rounds(study, half, 4, gpus=1)) == [({"cpu": 1.0, "gpu": 0.5}, 4)]
    assert list(rounds(study, AUTO, 4, gpus=0)) == [({"cpu": 2.0, "gpu": 0.0}, 4)]
    with pytest.raises(ValueError, match=r"gpu is -1: use 0, 0\.0001 to 1, or auto"):
        ResourcesSpec(gpu=-1)


def test_the_dearest_configuration_decides_and_not_the_one_that_was_measured() -> None:
    study = optuna.create_study()
    seen = []

    def growth(parameters: Mapping[str, ParameterValue]) -> float:
        seen.append(parameters)
        return 1.79

    measured(study, 2_000, {"method.sib.lambda_bg": 0.0})
    measured(study, 1_000)
    # 1.25 times 1.79 times 2,000 MiB, and 600 of context.
    assert list(rounds(study, AUTO, 9, 2, growth)) == [({"cpu": 2, "gpu": 0.25}, 9)]
    assert seen == [{"method.sib.lambda_bg": 0.0}]
    assert measured_slots(study, lambda parameters: 0.5) == measured_slots(study, flat) == 7


def test_a_space_tells_its_dearest_trial(tmp_path: Path) -> None:
    images = build_or_open(MadeSource(n_rows=128, size=32), tmp_path)
    changes = ["data.root=/nowhere", "model.width=0.125", "search.space=hsplid_composed"]
    changes += ["method.sib={}", "method.norm_adversarial={}"]
    spec = load_spec("coco_hsplid_paper", parse_overrides(changes))
    context = SweepContext(spec=spec, folder=tmp_path, fixed={}, images={"train": images})
    growth = _memory_growth(context)
    with_sib = {"method.sib.lambda_bg": 1.0}
    without = {"method.sib.lambda_bg": 0.0, "method.sib.lambda_fg": 0.0}
    assert growth(without) > 1.5
    assert growth(with_sib) == pytest.approx(1.0)
    half = replace(context, fixed={"training.batch_size": 64})
    assert 0.4 < _memory_growth(half)(with_sib) < 0.7
