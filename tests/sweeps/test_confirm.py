"""A front confirmed as a user does it: a real Ray, newly pretrained models."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from optuna.trial import FrozenTrial, create_trial

from hsplid_core.config.analyses import ConfirmationConfig
from hsplid_core.errors import ConfigError
from sweeps.confirm import main
from sweeps.confirmation.plan import make_plan, make_suite
from sweeps.confirmation.results import sum_up
from sweeps.confirmation.statistics import Evidence
from sweeps.confirmation.text_tables import conclusions
from sweeps.spec.loading import load_spec
from sweeps.spec.search_spec import ReplicatesSpec
from sweeps.study.stored_sweep import open_sweep
from sweeps.study.study import load_study
from sweeps.study.sweep_info import SweepInfo, write_info
from tests.sweeps.mlflow_database import put_mlflow_database
from tests.sweeps.studies import complete_trial, write_study
from trainables.confirmation import suite_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("default"),
]


def trial(values: tuple[float, float], rho_s: float, **training: float) -> FrozenTrial:
    metrics = dict(zip(("val/accuracy", "val/robust_accuracy"), values, strict=True))
    own = {f"training.{name}": value for name, value in training.items()}
    parameters = {"method.hsplid.rho_s": rho_s, **own}
    return create_trial(
        values=list(values), user_attrs={"parameters": parameters, "metrics": metrics}
    )


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, small_coco: Path, ray_address: str) -> Path:
    """Leave a finished sweep behind that never ran: two trials on its front, one off it."""
    top = tmp_path_factory.mktemp("confirm")
    shared: dict[str, Any] = {
        "data": {"root": str(small_coco), "image_size": 32},
        "model": {"width": 0.0625},
        "training": {"epochs": 1, "batch_size": 32},
        "evaluation": {"epsilons_255": [2], "steps": 2, "max_images": 16},
        "trials": 3,
        "resources": {"max_concurrent": 1},
        "cluster": {"address": ray_address},
        "storage": str(top / "runs"),
    }
    pretrain = {**shared, "name": "pre", "method": {"cross_entropy": {}}}
    sweep = {
        **shared,
        "name": "tiny",
        "method": {"cross_entropy": {"weight": 10.0}, "hsplid": {}},
        "pretrain": str(top / "pre.yaml"),
        "search": {
            "space": "hsplid",
            # Cross-entropy alone has no such metric.
            "constraints": [{"metric": "hsplid/salient_dims", "minimum": 2}],
        },
    }
    (top / "pre.yaml").write_text(yaml.safe_dump({**pretrain, "search": {"space": "pretrain"}}))
    (top / "tiny.yaml").write_text(yaml.safe_dump(sweep))
    folder = top / "runs" / "tiny"
    trials = [trial((0.9, 0.3), 0.1), trial((0.5, 0.2), 0.2), trial((0.8, 0.6), 0.3)]
    write_study(folder, trials)
    put_mlflow_database(top / "runs")
    info = SweepInfo(
        spec=load_spec(str(top / "tiny.yaml")),
        fixed={},
        is_demo=True,
        data_key="k",
        weights=None,
        baseline=(0.5, 0.1),
        tracking_uri=f"sqlite:///{top}/runs/mlflow.db",
        tags={},
    )
    write_info(folder, info)
    return top / "runs"


def trials_of(storage: Path, seed: int) -> list[FrozenTrial]:
    return load_study(storage / "tiny" / "confirm" / f"tiny-seed-{seed}-search").trials


def test_a_front_is_confirmed_seed_by_seed(
    storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    command = ["tiny", f"storage={storage}", "--suite=search", "--trials=2"]
    assert main([*command, "--seeds=1"]) == 0
    out = capsys.readouterr().out
    assert "chosen configurations stay non-dominated on the test split" in out
    assert re.search(r"In clean accuracy, the search flattered them by [+-]\d+\.\d points", out)
    before = trials_of(storage, 1)
    names = [trial.user_attrs["configuration"] for trial in before]
    assert names == ["cross-entropy", "trial 2"]
    assert [trial.user_attrs["parameters"] for trial in before] == [
        {"recipe": "cross_entropy"},
        {"recipe": "cross_entropy+hsplid", "method.hsplid.rho_s": 0.3},
    ]

    # A second seed adds to it: nothing of the first runs again, and each has a start of its own.
    assert main([*command, "--seeds=2", "--json"]) == 0
    out = capsys.readouterr().out
    after = trials_of(storage, 1)
    assert [t.datetime_complete for t in after] == [t.datetime_complete for t in before]
    assert len(list((storage / "pretrained").glob("*.pt"))) == 2
    told = json.loads(out.splitlines()[-1])
    assert told["event"] == "confirmed"
    assert told["seeds"] == [1, 2]
    assert told["configurations"] == ["pretrained start", *names]
    assert told["failed"] == {}
    rows = pq.read_table(storage / "tiny" / "confirm" / "confirm.parquet").to_pylist()
    values = [
        row["value"]
        for row in rows
        if (row["configuration"], row["split"], row["measure"]) == ("trial 2", "test", "clean")
    ]
    found = told["test"]["trial 2"]["clean"]
    assert len(values) == found["n"] == 2
    assert found["mean"] == pytest.approx(sum(values) / 2)
    assert found["low"] <= found["mean"] <= found["high"]
    assert {"mean robust", "backgrounds swapped"} < set(told["test"]["trial 2"])
    luck = told["luck"]["trial 2"]["val/accuracy"]
    assert luck["searched"] == 0.8
    assert luck["confirmed"] == pytest.approx(
        (after[1].values[0] + trials_of(storage, 2)[1].values[0]) / 2
    )
    assert luck["promised"] == pytest.approx(0.3)
    plain = [
        row["value"]
        for row in rows
        if (row["configuration"], row["split"], row["measure"])
        == ("cross-entropy", "test", "clean")
    ]
    gain = told["gains"]["trial 2"]["clean"]
    assert gain["mean"] == pytest.approx((sum(values) - sum(plain)) / 2)
    assert gain["low"] <= gain["mean"] <= gain["high"]
    assert all(
        sum(row["images"]) / len(row["images"]) == pytest.approx(row["value"])
        for row in rows
        if row["split"] == "test"
    )
    assert "Confirmed under new seeds" in (storage / "tiny" / "report.html").read_text()


def test_a_test_split_that_was_trained_on_is_told(storage: Path) -> None:
    plan = make_plan(open_sweep("tiny", storage), n_seeds=1, suite=ConfirmationConfig())
    data = dataclasses.replace(plan.spec.data, split="published")
    published = dataclasses.replace(plan, spec=plan.spec.model_copy(update={"data": data}))
    told = [conclusions(sum_up(each, Evidence())) for each in (plan, published)]
    assert told[1][:-1] == told[0]
    assert "nine in ten of these test images were trained on" in told[1][-1]


def test_the_front_is_what_is_planned(storage: Path) -> None:
    sweep = open_sweep("tiny", storage)
    plan = make_plan(sweep, n_seeds=2, suite=ConfirmationConfig(suite="search"))
    names = [configuration.name for configuration in plan.configurations]
    assert names == ["cross-entropy", "trial 0", "trial 2"]
    assert plan.configurations[1].searched == (0.9, 0.3)
    assert plan.seeds == (1, 2)
    assert plan.seed_spec(2).seed == 2
    assert plan.spec.trials == 3
    assert sweep.spec.search.constraints
    assert plan.spec.search.constraints == ()
    assert plan.seed_folder(2) == storage / "tiny" / "confirm" / "tiny-seed-2-search"
    assert sweep.spec.evaluation.confirmation is None


def test_cross_entropy_has_each_trials_own_optimiser(storage: Path) -> None:
    rates = [(0.9, 0.3, 1e-3), (0.5, 0.7, 1e-4), (0.8, 0.4, 1e-3)]
    write_study(
        storage / "tuned",
        [trial((a, b), 0.1 * n, learning_rate=rate) for n, (a, b, rate) in enumerate(rates)],
    )
    known = open_sweep("tiny", storage).info
    assert known is not None
    write_info(storage / "tuned", known)
    settings = make_suite("search", None, is_demo=False, cascade=False)
    plan = make_plan(open_sweep("tuned", storage), n_seeds=1, suite=settings)
    assert [(c.name, c.baseline) for c in plan.configurations] == [
        ("cross-entropy of trials 0, 2", None),
        ("cross-entropy of trial 1", None),
        ("trial 0", "cross-entropy of trials 0, 2"),
        ("trial 1", "cross-entropy of trial 1"),
        ("trial 2", "cross-entropy of trials 0, 2"),
    ]
    assert [c.parameters for c in plan.configurations[:2]] == [
        {"recipe": "cross_entropy", "training.learning_rate": 1e-3},
        {"recipe": "cross_entropy", "training.learning_rate": 1e-4},
    ]
    assert plan.spec.trials == 5
    assert plan.seed_folder(1).name == "tuned-seed-1-search-single"
    assert plan.summary.endswith("by the suite search, every cell on its own.")


def test_no_seed_that_the_search_has_seen_confirms_it(storage: Path) -> None:
    tiny = open_sweep("tiny", storage)
    search = tiny.spec.search.model_copy(update={"replicates": ReplicatesSpec(every=3)})
    assert tiny.info is not None
    info = dataclasses.replace(tiny.info, spec=tiny.spec.model_copy(update={"search": search}))
    three = dataclasses.replace(tiny, info=info)
    suite = ConfirmationConfig(suite="search")
    plan = make_plan(three, n_seeds=2, suite=suite)
    assert plan.seeds == (3, 4)
    assert plan.spec.search.replicates.most == 1
    with pytest.raises(ConfigError, match="without the sweep's own seeds 0, 1, 2"):
        make_plan(three, n_seeds=2, first_seed=2, suite=suite)


@pytest.mark.parametrize(
    ("suite", "max_images", "is_demo", "expected"),
    [
        (None, None, True, ("objective", 60)),
        (None, None, False, ("standard", None)),
        (None, 7, True, ("objective", 7)),
        ("standard", None, True, ("standard", None)),
        ("objective", None, False, ("objective", None)),
    ],
)
def test_demo_data_are_judged_in_minutes(
    suite: str | None, max_images: int | None, is_demo: bool, expected: tuple[str, int | None]
) -> None:
    found = make_suite(suite, max_images, is_demo=is_demo)
    assert (found.suite, found.max_images) == expected


def test_a_misspelt_suite_is_told_with_all_that_there_are() -> None:
    says = r"suite is 'objektive': use one of \['fgsm', 'objective', .*; did you mean objective\?"
    with pytest.raises(ConfigError, match=says):
        make_suite("objektive", None, is_demo=False)


def test_its_own_suite_has_the_radii_of_the_search_and_strong_attacks(storage: Path) -> None:
    evaluation = open_sweep("tiny", storage).spec.evaluation
    settings = ConfirmationConfig(suite="objective", max_images=9)
    suite = suite_for(dataclasses.replace(evaluation, confirmation=settings))
    (threat,) = suite.threats
    assert (threat.region_name, threat.epsilons) == ("background", (2 / 255,))
    assert [name for name, _ in threat.attacks] == ["pgd", "aa_standard"]
    assert suite.max_images == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny", "--seeds=0"], "seeds are none: give one or more"),
        (["tiny", "--first-seed=0"], "without the sweep's own seed 0"),
        (["tiny", "--trials=7"], "trials 7 are not complete: choose among 0, 1, 2"),
        (["tiny", "--suite=strong"], "suite is 'strong'"),
        (["other"], "sweep other is not in"),
        (["bare"], "does not say which spec it was run with"),
    ],
)
def test_a_mistake_is_one_line(
    storage: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    if arguments == ["bare"]:
        write_study(storage / "bare", [complete_trial((0.5, 0.5))])
    assert main([*arguments, f"storage={storage}"]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
