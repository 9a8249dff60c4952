from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsplid_core.errors import DataError
from sweeps.run import main
from sweeps.spec.loading import load_spec
from sweeps.spec.registry import SWEEPS
from sweeps.spec.sweep_spec import SweepSpec

HEAVY = ("torch", "ray", "mlflow", "optuna", "plotly", "pyarrow")


class FakeEngine:
    """Stands in for the engine, so that these tests start no cluster."""

    def __init__(self) -> None:
        self.calls: list[tuple[SweepSpec, dict[str, Any]]] = []
        self.error: Exception | None = None

    def run_sweep(
        self,
        spec: SweepSpec,
        *,
        fixed: Mapping[str, object],
        fresh: bool,
        json_lines: bool,
        allow_changed: bool,
        write_outputs: object,
        make_listener: object,
        on_complete: object,
    ) -> None:
        assert callable(write_outputs)
        assert callable(make_listener)
        assert callable(on_complete)
        if self.error is not None:
            raise self.error
        given = {"fixed": fixed, "fresh": fresh, "json_lines": json_lines}
        self.calls.append((spec, given | {"allow_changed": allow_changed}))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr("sweeps.engine.run_sweep", fake.run_sweep)
    return fake


def imported_by(arguments: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """Run the command in a fresh interpreter; return what it imported, too."""
    code = (
        "import sys\nfrom sweeps.run import main\n"
        f"try:\n    code = main({arguments.split()!r})\n"
        "except SystemExit as error:\n    code = error.code\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        f"sys.stderr.write('|' + ' '.join(names & set({HEAVY!r})))\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    return done, set(done.stderr.rpartition("|")[2].split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("coco_hspli", "error: sweep coco_hspli is unknown: "),
        (
            "coco_hsplid training.epoch=3 training.batch_size=0",
            "error: sweep coco_hsplid has 2 faults:\n  training.",
        ),
        ("coco_hsplid method.hsplid.rho=1", "error: sweep coco_hsplid has 1 fault:\n  method."),
    ],
)
def test_a_slip_is_told_before_anything_heavy_is_imported(arguments: str, says: str) -> None:
    done, heavy = imported_by(arguments)
    assert done.returncode == 2
    assert heavy == set()
    assert done.stdout == ""
    assert done.stderr.startswith(says)
    assert "Traceback" not in done.stderr


def test_list_names_every_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SWEEPS)
    assert main(["--list", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(SWEEPS)


@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_a_dry_run_prints_a_spec_that_can_be_run(
    name: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([name, "--dry-run", "trials=5"]) == 0
    printed = capsys.readouterr().out
    assert "# Searched:\n" in printed
    path = tmp_path / "printed.yaml"
    path.write_text(printed)
    spec = load_spec(str(path))
    assert spec.trials == 5
    assert main(["--dry-run", "--json", str(path)]) == 0
    assert json.loads(capsys.readouterr().out) == spec.resolved() == yaml.safe_load(printed)
    assert engine.calls == []


def test_a_dry_run_says_what_is_searched_and_what_is_fixed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["method.hsplid.rho_s=0", "training.learning_rate=1e-3", "training.epochs=3"]
    assert main(["coco_hsplid", "--dry-run", *arguments]) == 0
    notes = capsys.readouterr().out.split("# Searched:\n")[1].split("# Takes:\n")[0].splitlines()
    assert notes[0] == "#   method.hsplid.lambda_s (or off)"
    assert "#   method.hsplid.rho_s: fixed at 0.0" in notes
    assert "#   training.learning_rate: fixed at 0.001" in notes
    assert "#   method.hsplid.sigma" in notes
    assert not any("epochs" in note or "use/" in note for note in notes)


def test_a_run_hands_the_resolved_spec_to_the_engine(engine: FakeEngine) -> None:
    arguments = ["coco_hsplid", "--fresh", "trials=3", "--json", "method.hsplid.rho_s=0.1"]
    assert main([*arguments, "evaluation.every=2"]) == 130
    ((spec, options),) = engine.calls
    assert spec.trials == 3
    assert options == {
        "fixed": {"method.hsplid.rho_s": 0.1, "evaluation.every": 2},
        "fresh": True,
        "json_lines": True,
        "allow_changed": False,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["coco_hslpid"], "error: sweep coco_hslpid is unknown"),
        (["no.yaml"], "error: sweep file no.yaml does not exist"),
        (["coco_hsplid", "trials"], "error: override 'trials': write key.path=value"),
        (["coco_hsplid", "trials.x=1"], "error: override trials.x"),
        (["coco_hsplid", "trials=-1"], "trials is -1: use 1 or more"),
        (["coco_hsplid", "pretrain=nope"], "error: pretrain is 'nope'"),
        (
            ["coco_baselines", "recipe=cross_entropy", "method.hbar.lambda_x=0.1"],
            "error: override method.hbar.lambda_x: hbar takes no part, for recipe is",
        ),
        (
            ["coco_hsplid", "~method.hsplid", "search.constraints=[]"],
            "error: search.space hsplid_composed: parameter method.hsplid.lambda_s",
        ),
    ],
)
def test_a_mistake_ends_with_code_2_and_its_message(
    arguments: list[str], says: str, engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert says in captured.err
    assert captured.out == ""
    assert engine.calls == []


def test_an_error_of_the_data_ends_with_code_2(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.error = DataError("folder /coco does not exist")
    assert main(["coco_hsplid"]) == 2
    assert capsys.readouterr().err == "error: folder /coco does not exist\n"


@pytest.mark.parametrize(
    ("arguments", "says"), [([], "name a sweep (coco_hsplid"), (["--frsh"], "--frsh")]
)
def test_a_mistake_in_the_call_shows_the_usage(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert "usage: python -m sweeps.run" in captured.err
    assert says in captured.err
