"""Claims: rows that hold, numbers and verdicts, and a claim run through the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsplid_core.data.readers.demo_marker import DEMO_MARKER
from hsplid_core.errors import ConfigError
from sweeps.claims import main
from sweeps.reproduction.rows import CLAIMS_FILE, SCALES, Claim, ScaleName, read_claims
from sweeps.reproduction.runs import checked_run
from sweeps.reproduction.text import write_results
from sweeps.reproduction.verdicts import findings_of, overall
from sweeps.spec.overrides import Override
from tests.sweeps.whole_sweep import Sweep

CLAIMS = read_claims(CLAIMS_FILE)
ROOT = Path(__file__).resolve().parents[2]


# -- the rows of this package ---------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", CLAIMS)
def test_a_row_is_made_of_sweeps_that_can_run_and_measure_what_it_asks(
    name: str, scale: ScaleName
) -> None:
    claim = CLAIMS[name]
    for run in claim.runs:
        checked = checked_run(name, claim, scale, run, n_seeds=3)
        spec = checked.spec
        assert (spec.trials, spec.search.space, checked.space.names) == (3, "seeds", ("seed",))
        # Both would be decided by what was found: a claim's trials all count, at their end.
        assert spec.search.scheduler == "none"
        assert spec.search.constraints == ()


@pytest.mark.parametrize("name", CLAIMS)
def test_a_row_at_the_papers_scale_has_the_sweeps_own_length_and_network(name: str) -> None:
    claim = CLAIMS[name]
    small = {"training.epochs", "training.batch_size", "model.width", "data.share"}
    assert small.isdisjoint(claim.scales["paper"].overrides)
    assert small & set(claim.scales["small"].overrides)


# -- rows that are wrong --------------------------------------------------------------------------


def row(**changes: Any) -> dict[str, Any]:
    scale = {"note": "as it is"}
    return {
        "paper": "A paper",
        "section": "table 1",
        "claim": "One is better than the other.",
        "data": "pictures",
        "sweep": "cmnist_pretrain",
        "runs": {"one": {}, "two": {"training.learning_rate": 0.01}},
        "scales": {"paper": scale, "small": {**scale, "overrides": {"training.epochs": 2}}},
        "numbers": [number()],
        **changes,
    }


def number(**changes: Any) -> dict[str, Any]:
    own = {"name": "gain", "run": "one", "metric": "val/accuracy", "above": 0}
    return {**own, "minus": {"run": "two", "metric": "val/accuracy"}, **changes}


def written(folder: Path, **rows: Any) -> Path:
    file = folder / "claims.yaml"
    file.write_text(yaml.safe_dump(rows))
    return file


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"numbers": [number(run="onne")]}, "run is onne in the number 'gain': use one or two"),
        ({"numbers": [number(above=None)]}, "numbers has none with above or below"),
        ({"numbers": [number(above=2, below=1)]}, "above is 2, not less than below, 1"),
        ({"numbers": [number(paper=0.5)]}, "paper is 0.5: say in place where"),
        ({"numbers": [number(abowe=1)]}, "toy.numbers.0.abowe: Extra inputs are not permitted"),
        ({"scales": {"small": {"note": "few"}}}, "scales has no paper"),
        (
            {"scales": {s: {"note": "few", "runs": {"too": {}}} for s in SCALES}},
            "scales.paper.runs has too: use one or two; did you mean two?",
        ),
    ],
)
def test_a_wrong_row_is_told_with_its_place(
    changes: Mapping[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        read_claims(written(tmp_path, toy=row(**changes)))
    assert told in str(error.value)
    assert "toy" in str(error.value)


def test_rows_that_share_runs_are_the_same_but_for_their_numbers(tmp_path: Path) -> None:
    other = row(runs_of="toy", numbers=[number(minus=None)])
    claims = read_claims(written(tmp_path, toy=row(), other=other))
    assert claims["other"].needed_runs == ["one"]
    assert claims["toy"].needed_runs == ["one", "two"]
    shared = checked_run("other", claims["other"], "small", "one", n_seeds=3).spec
    assert shared == checked_run("toy", claims["toy"], "small", "one", n_seeds=3).spec
    assert claims["toy"].data_at("small") == "pictures"
    scales = {"paper": {"note": "all"}, "small": {"note": "few", "data": "drawings"}}
    few = read_claims(written(tmp_path, few=row(scales=scales)))["few"]
    assert (few.data_at("paper"), few.data_at("small")) == ("pictures", "drawings")
    with pytest.raises(ConfigError, match="runs_of is toi"):
        read_claims(written(tmp_path, toy=row(), other={**other, "runs_of": "toi"}))
    with pytest.raises(ConfigError, match="runs_of is toy, but sweep differs"):
        read_claims(written(tmp_path, toy=row(), other={**other, "sweep": "coco_pretrain"}))


@pytest.mark.parametrize(
    ("changes", "given", "told"),
    [
        ({"sweep": "cmnist_pretrian"}, {}, "did you mean cmnist_pretrain?"),
        (
            {"numbers": [number(metric="val/acuracy")]},
            {},
            "claim toy, small scale, run one: numbers.0.metric is val/acuracy, which nothing",
        ),
        ({"runs": {"one": {"training.epoch": 3}, "two": {}}}, {}, "did you mean training.epochs?"),
        ({}, {"training.epochs": 3}, "override training.epochs: it would change what the claim"),
        ({}, {"search.seed": 3}, "override search.seed: it would change what the claim"),
    ],
)
def test_what_no_sweep_could_run_or_measure_is_told_before_one_starts(
    changes: Mapping[str, Any], given: Mapping[str, Any], told: str
) -> None:
    claim = Claim.model_validate(row(**changes))
    overrides = [Override(path, value) for path, value in given.items()]
    with pytest.raises(ConfigError) as error:
        checked_run("toy", claim, "small", "one", n_seeds=3, given=overrides)
    assert told in str(error.value)


def test_where_it_runs_is_for_the_command_line_to_say() -> None:
    claim = Claim.model_validate(row())
    given = [Override("data.root", "/data"), Override("resources.cpu", 2)]
    spec = checked_run("toy", claim, "small", "two", n_seeds=4, given=given).spec
    assert (str(spec.data.root), spec.resources.cpu, spec.trials) == ("/data", 2, 4)
    assert (spec.name, spec.training.epochs) == ("claim-toy-small-two", 2)
    assert spec.training.learning_rate == 0.01


# -- verdicts -------------------------------------------------------------------------------------


def verdict_of(one: list[float], two: list[float], **changes: Any) -> tuple[str | None, str]:
    claim = Claim.model_validate(row(numbers=[number(**changes)]))
    metrics = {
        name: {seed: {"val/accuracy": value} for seed, value in enumerate(values)}
        for name, values in (("one", one), ("two", two))
    }
    (found,) = findings_of(claim, metrics)
    return found.verdict, found.lacking


@pytest.mark.parametrize(
    ("one", "two", "changes", "verdict"),
    [
        # Differences of 0.2, 0.21 and 0.19: 0.2 +- 4.30 * 0.01 / sqrt(3), from 0.175 to 0.225.
        ([0.7, 0.81, 0.59], [0.5, 0.6, 0.4], {}, "reproduced"),
        ([0.7, 0.81, 0.59], [0.5, 0.6, 0.4], {"above": 0.174}, "reproduced"),
        ([0.7, 0.81, 0.59], [0.5, 0.6, 0.4], {"above": 0.176}, "undecided"),
        ([0.7, 0.81, 0.59], [0.5, 0.6, 0.4], {"above": 0.226}, "not reproduced"),
        ([0.7, 0.81, 0.59], [0.5, 0.6, 0.4], {"above": 0.1, "below": 0.224}, "undecided"),
        ([0.7, 0.81, 0.59], [0.5, 0.6, 0.4], {"above": None, "below": 0.174}, "not reproduced"),
        # By seed they differ as much as their mean.
        ([0.9, 0.5, 0.6], [0.5, 0.6, 0.4], {}, "undecided"),
        ([0.7, 0.8], [0.5, 0.6], {}, "undecided"),  # two seeds
        ([0.7, 0.8, 0.9], [0.5, 0.6], {}, "undecided"),  # two that both have
    ],
)
def test_an_interval_within_the_limits_reproduces_and_one_without_does_not(
    one: list[float], two: list[float], changes: dict[str, Any], verdict: str
) -> None:
    assert verdict_of(one, two, **changes)[0] == verdict


def test_a_number_may_be_a_ratio_and_what_is_missing_is_told() -> None:
    ratio = {"minus": None, "over": {"run": "two", "metric": "val/accuracy"}, "above": 1.9}
    assert verdict_of([0.4, 0.6, 0.8], [0.2, 0.3, 0.4], **ratio) == ("reproduced", "")
    verdict, lacking = verdict_of([0.4, 0.6, 0.8], [0.2, 0.0, 0.4], **ratio)
    assert (verdict, lacking) == ("undecided", "val/accuracy of two is 0 under seed 1")
    verdict, lacking = verdict_of([0.4, 0.6, 0.8], [0.2, 0.1, 0.4], metric="val/robust_accuracy")
    assert verdict == "undecided"
    assert "val/robust_accuracy of one is missing under seed 0" in lacking


def test_the_worst_number_decides_and_those_without_limits_do_not() -> None:
    limits = ({"above": 0.1}, {"above": 0.226}, {"above": 0.176}, {"above": None})
    numbers = [number(**changes) for changes in limits]
    metrics = {
        "one": {s: {"val/accuracy": v} for s, v in enumerate([0.7, 0.81, 0.59])},
        "two": {s: {"val/accuracy": v} for s, v in enumerate([0.5, 0.6, 0.4])},
    }

    def joined(*chosen: int) -> str:
        claim = Claim.model_validate(row(numbers=[numbers[i] for i in chosen]))
        return overall(findings_of(claim, metrics))

    assert joined(0, 1, 2, 3) == "not reproduced"
    assert joined(0, 2, 3) == "undecided"
    assert joined(0, 3) == "reproduced"


# -- the command ----------------------------------------------------------------------------------


def test_the_list_needs_none_of_the_libraries() -> None:
    code = (
        "import sys\nfrom sweeps.claims import main\nassert main(['list']) == 0\n"
        "sys.stderr.write(' '.join(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert {"torch", "ray", "optuna", "mlflow", "plotly"}.isdisjoint(done.stderr.split())
    assert [line for line in done.stdout.splitlines() if line[0] != " "] == list(CLAIMS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("run rigt_digit data.root=x", "claim rigt_digit is unknown"),
        ("run rigt_digit data.root=x", "did you mean right_digit?"),
        ("run right_digit", "needs data.root=FOLDER with MNIST's four files"),
        ("run right_digit data.root=null", "needs data.root=FOLDER with MNIST's four files"),
        ("table data.root=x", "only storage=FOLDER can be given here"),
    ],
)
def test_a_slip_is_one_line(arguments: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert told in error


@pytest.fixture
def toy(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rows of a claim on a tiny sweep of real data: the demo's files without its marker."""
    root = sweep.folder / "pictures"
    shutil.copytree(sweep.folder / "coco", root)
    (root / DEMO_MARKER).unlink()
    sweep.write(evaluation={"epsilons_255": [2], "steps": 1, "max_images": 8})
    monkeypatch.chdir(sweep.folder)
    runs = {"one": {"recipe": "cross_entropy"}}
    scales = {
        "paper": {"note": "as it is"},
        "small": {"note": "one epoch", "overrides": {"training.epochs": 1}},
    }
    limits = [
        number(name="accuracy | is one", minus=None, above=-1, percent=True),
        number(name="none of it", minus={"run": "one", "metric": "val/accuracy"}, above=None),
    ]
    return written(
        sweep.folder, toy=row(sweep="tiny.yaml", runs=runs, scales=scales, numbers=limits)
    )


def test_a_claim_is_run_once_and_its_table_keeps_what_others_wrote(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["--claims", str(toy)]
    run = ["run", "toy", "data.root=pictures", *rows]
    assert main(run) == 0
    assert "toy, small scale: reproduced" in capsys.readouterr().out
    assert main([*run, "--json"]) == 0
    again = capsys.readouterr()
    assert "claim-toy-small-one has run" in again.err
    told = json.loads(again.out)
    assert (told["verdict"], told["seeds"]) == ("reproduced", [0, 1, 2])
    first = told["numbers"][0]
    assert first["mean"] == pytest.approx(sum(first["by_seed"].values()) / 3)

    results = toy.parent / "RESULTS.md"
    before = "# Results\n\n## Claims of the papers\n\nWords.\n\n## Other\n\nMore words.\n"
    results.write_text(before)
    table = ["table", *rows, "--results", str(results)]
    assert main(table) == 0
    once = results.read_text()
    assert once.startswith(
        "# Results\n\n## Claims of the papers\n\nWords.\n\n<!-- claim toy small"
    )
    assert once.endswith("<!-- end of claim toy small -->\n\n## Other\n\nMore words.\n")
    assert "python -m sweeps.claims run toy --scale small --seeds 3 data.root=FOLDER" in once
    assert "| accuracy / is one |" in once
    assert f"Seeds 0, 1, 2. Code {told['code']}. one epoch\n" in once
    assert main(table) == 0
    assert results.read_text() == once
    page = (toy.parent / "runs" / "claims.html").read_text()
    assert "toy, small scale: reproduced" in page
    assert "none of it" in page

    # A claim without trials here keeps what was written of it.
    write_results([], results)
    assert results.read_text() == once
    marks = "<!-- overview -->\n{}<!-- end of overview -->\n\n<!-- claim toy small"
    results.write_text(once.replace("<!-- claim toy small", marks.format("old\n")))
    write_results([], results)
    listed = "- reproduced (1): `toy`\n- not reproduced (0): none\n- undecided (0): none\n"
    assert results.read_text() == once.replace("<!-- claim toy small", marks.format(listed))
    results.write_text(once)
    # What was run with other values says nothing about the row.
    changed = toy.read_text().replace("training.epochs: 1", "training.epochs: 2")
    toy.write_text(changed)
    capsys.readouterr()
    assert main(table) == 0
    told = capsys.readouterr().out
    assert "toy, small scale: not written: one was run with other values than the row has" in told
    assert results.read_text() == once
    assert main(run) == 2
    assert "training.epochs" in capsys.readouterr().err
