"""Trials on a real Ray whose two GPUs are only counted: packing, early ends, lost workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from ray import tune

from hsplid_core.data import prepare
from sweeps.cluster.connection import connected
from sweeps.engine.context import SweepContext
from sweeps.engine.front_keeper import FrontKeeper
from sweeps.engine.study_run import run_trials
from sweeps.spec.cluster_spec import ClusterSpec
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.study.study import open_study
from sweeps.trials.from_study import records_of
from tests.sweeps.flat_trainable import CURVES, Flat
from tests.sweeps.made_trainables import TOTAL_MIB, Killed, OnCountedGpu

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
    pytest.mark.usefixtures("_ray"),
]


@pytest.fixture(scope="module")
def _ray(ray_address: str) -> Iterator[None]:
    with connected(ClusterSpec(address=ray_address)):
        yield


def run(
    folder: Path, trainable: type[tune.Trainable], **changes: Any
) -> tuple[optuna.Study, list[FrozenTrial]]:
    """Run a study's trials as the engine does, in another trainable."""
    values: dict[str, Any] = {
        "name": "tiny",
        "data": {"image_size": 32, "cache_dir": str(folder / "cache")},
        "model": {"width": 0.0625},
        "method": {"cross_entropy": {}},
        "training": {"epochs": 1, "batch_size": 32},
        "evaluation": {"epsilons_255": [2], "steps": 2, "max_images": 16},
        "search": {"space": "pretrain", "sampler": "random"},
        "trials": 1,
        "storage": str(folder),
        **changes,
    }
    spec = SweepSpec.model_validate(values)
    sweep = folder / "tiny"
    sweep.mkdir()
    study = open_study(sweep, spec, {}, [])
    # Who shares GPUs compares the memory that trials need for these images.
    shares = spec.resources.gpu == "auto"
    images = prepare(spec.trial_config().data) if shares else {}
    context = SweepContext(spec=spec, folder=sweep, fixed={}, images=images)
    assert (
        run_trials(context, study, FrontKeeper(study, spec.objectives, sweep, []), [], trainable)
        is None
    )
    return study, study.trials


# -- packing --------------------------------------------------------------------------------------


def test_trials_share_gpus_by_the_memory_that_the_first_one_needed(
    tmp_path: Path, small_coco: Path
) -> None:
    _, trials = run(
        tmp_path,
        OnCountedGpu,
        data={"root": str(small_coco), "image_size": 32, "cache_dir": str(tmp_path / "cache")},
        resources={"cpu": 2, "gpu": "auto"},
        trials=4,
    )
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    first, *others = [trial.user_attrs for trial in trials]
    assert first["resources"] == {"cpu": 2, "gpu": 1}
    assert first["metrics"]["fraction"] == 1
    # 1.25 times the peak and 600 MiB for the context: two of these fit, and have that much less.
    assert all(other["resources"] == {"cpu": 2, "gpu": 0.5} for other in others)
    assert all(other["metrics"]["fraction"] == 0.5 - 600 / TOTAL_MIB for other in others)
    assert Counter(other["metrics"]["gpu"] for other in others).keys() == {0, 1}
    assert all(attributes["metrics"]["threads"] == 2 for attributes in [first, *others])
    assert not any(attributes["metrics"]["spins"] for attributes in [first, *others])


# -- early ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheduler", "objective", "stopped"),
    [
        # Whoever is worse than half of those before it.
        ("asha", {"metric": "val/accuracy"}, {3, 5}),
        # Whoever is worse than the median of at least three others.
        ("median", {"metric": "train/loss", "direction": "minimize"}, {3, 5}),
    ],
)
def test_rays_schedulers_stop_trials_by_one_objective(
    tmp_path: Path, scheduler: str, objective: dict[str, str], stopped: set[int]
) -> None:
    study, trials = run(
        tmp_path,
        Flat,
        objectives=[objective],
        search={
            "space": "pretrain",
            "sampler": "random",
            "scheduler": scheduler,
            "reduction_factor": 2,
            "constraints": [{"metric": "val/accuracy", "minimum": 0.625}],
        },
        training={"epochs": 4},
        resources={"max_concurrent": 1},
        trials=len(CURVES),
    )
    assert {trial.number for trial in trials if trial.state == TrialState.PRUNED} == stopped
    # One after the other in the same process.
    assert len({trial.user_attrs["metrics"]["pid"] for trial in trials}) == 1
    for trial in trials:
        ended = trial.number not in stopped
        assert trial.user_attrs["metrics"]["epoch"] == (4 if ended else 1)
        assert (trial.values is not None) == ended
        # The sampler is told of each model that does not keep the limit, and by how much.
        excess = (0.625 - CURVES[trial.number]) / 0.625
        assert trial.constraints == ({"val/accuracy": pytest.approx(excess)} if ended else {})
    records = records_of(study)
    assert records[1].infeasible == "val/accuracy is 0.6, not >= 0.625"
    assert [record.number for record in records if record.on_front] == [2]


# -- replicates -----------------------------------------------------------------------------------


def test_what_reaches_the_front_is_trained_under_more_seeds(tmp_path: Path) -> None:
    study, trials = run(
        tmp_path,
        Flat,
        objectives=[{"metric": "val/accuracy"}],
        search={"space": "pretrain", "sampler": "random", "replicates": {"front": 3}},
        training={"epochs": 2},
        resources={"max_concurrent": 1},
        trials=len(CURVES),
    )
    # The first three are each better than all before; a seed adds 0.01.
    means = [0.51, 0.61, 0.71, *CURVES[3:]]
    assert [trial.values for trial in trials] == [[pytest.approx(mean)] for mean in means]
    records = records_of(study)
    assert [r.metrics.get("seeds") for r in records] == [3, 3, 3, None, None, None]
    assert records[2].metrics["sd/val/accuracy"] == pytest.approx(0.01)
    folders = {folder.name for folder in (tmp_path / "tiny" / "ray").glob("*/trial_*")}
    further = {f"trial_{n:05d}_{k}" for n in range(3) for k in (1, 2)}
    assert folders == {f"trial_{n:05d}" for n in range(6)} | further


# -- lost workers ---------------------------------------------------------------------------------


def test_a_lost_worker_counts_only_against_who_gets_no_further(
    tmp_path: Path, small_coco: Path
) -> None:
    _, (trial,) = run(
        tmp_path,
        Killed,
        data={"root": str(small_coco), "image_size": 32, "cache_dir": str(tmp_path / "cache")},
        training={"epochs": 3, "batch_size": 32},
        failures={"max_losses": 1},
    )
    assert trial.state == TrialState.FAIL
    # Three losses in all, but an epoch was finished after the first one.
    assert "checkpoint, 2 times without finishing an epoch" in trial.user_attrs["failure"]
    assert trial.user_attrs["cause"] == "worker_lost"
    assert trial.user_attrs["attempts"] == 4
