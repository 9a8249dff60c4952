from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from sweeps.engine.gpu_sharing import measured_slots, rounds, slots_per_gpu
from sweeps.spec.cluster_spec import ResourcesSpec

AUTO = ResourcesSpec(cpu=2, gpu="auto")


@pytest.mark.parametrize(
    ("peak", "total", "slots"),
    # 1.25 times the peak and 600 MiB of context each: 7100, 3100, 850 and 600 MiB.
    [(5_200, 24_000, 3), (2_000, 24_000, 7), (200, 81_000, 16), (30_000, 24_000, 1)],
)
def test_slots_follow_the_measured_peak(peak: float, total: float, slots: int) -> None:
    assert slots_per_gpu(peak, total) == slots


def measured(study: optuna.Study, peak: float) -> None:
    trial = study.ask()
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
    assert measured_slots(study) == 3
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
