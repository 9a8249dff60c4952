"""Requests to a sweep: left in its storage, taken up by its driver, answered, kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from hsplid_core.errors import ConfigError
from search_spaces import ParameterValue
from sweeps.control import main
from sweeps.engine.request_desk import RequestDesk
from sweeps.search.first_trials import first_trials
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.storage.requests import Answer, Request, ask, read_answer, requests_folder
from sweeps.study.steered import history_of, is_paused, total_trials
from sweeps.study.study import load_study, open_study
from sweeps.study.sweep_info import SweepInfo, write_info
from tests.sweeps.gate import GATE, Gate
from tests.sweeps.whole_sweep import Sweep

RATE = "training.learning_rate"
FIXED: Mapping[str, ParameterValue] = {"training.weight_decay": 0.0}


class Desk:
    """A study on disk, of which trial 0 is complete, 1 has failed and 2 was interrupted."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.folder = folder / "tiny"
        self.folder.mkdir()
        texts = ["name=tiny", f"storage={folder}", "training.weight_decay=0", *overrides]
        self.spec = load_spec("coco_pretrain", parse_overrides(texts))
        self.study = open_study(self.folder, self.spec, FIXED, first_trials(self.spec, FIXED))
        write_info(self.folder, info_of(self.spec))
        self.told: list[int] = []
        self.totals: list[int] = []
        self.desk = self.driver()
        for state in (TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING):
            trial = self.study.ask()
            trial.suggest_float(RATE, 1e-5, 1e-2, log=True)
            if state.is_finished():
                values = [0.5] * len(self.spec.objectives)
                values = values if state == TrialState.COMPLETE else None  # type: ignore[assignment]
                self.study.tell(trial, values, state=state)

    def driver(self) -> RequestDesk:
        return RequestDesk(
            self.folder,
            self.spec,
            FIXED,
            self.study,
            on_told=self.told.append,
            on_total=self.totals.append,
            say=lambda line: None,
        )

    def asked(self, action: str, *words: str) -> Answer | None:
        request = ask(self.folder, action, words)
        self.desk.look()
        return read_answer(self.folder, request)


def info_of(spec: SweepSpec) -> SweepInfo:
    return SweepInfo(
        spec=spec,
        fixed=FIXED,
        is_demo=True,
        data_key="",
        weights=None,
        baseline=None,
        tracking_uri="sqlite:///mlflow.db",
        tags={},
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "trials=5")


def test_a_point_comes_next_and_counts_beside_the_others(desk: Desk) -> None:
    assert desk.asked("add", f"{RATE}=0.001") == Answer(done=True, text="trial 3 comes next")
    assert desk.totals == [6]
    trial = desk.study.ask()
    assert trial.number == 3
    assert trial.suggest_float(RATE, 1e-5, 1e-2, log=True) == 0.001
    # Failed ones again, and another number of trials.
    assert desk.asked("retry", "failed") == Answer(done=True, text="trial 1 again as trial 4")
    assert desk.study.trials[4].system_attrs["fixed_params"] == desk.study.trials[1].params
    said = desk.asked("set", "trials=9")
    assert said == Answer(done=True, text="11 trials in all, those that were added included")
    # A command line that names another number wins again.
    other = load_spec("coco_pretrain", parse_overrides(["trials=7"]))
    assert total_trials(desk.study, desk.spec) == 11
    assert total_trials(desk.study, other) == 9
    asked = [entry["asked"] for entry in history_of(desk.study)]
    assert asked == [f"add {RATE}=0.001", "retry failed", "set trials=9"]


def test_a_driver_that_dies_before_its_answer_does_nothing_twice(desk: Desk) -> None:
    request = ask(desk.folder, "add", (f"{RATE}=0.001",))
    desk.desk.look()
    (requests_folder(desk.folder) / f"{request.name}.answer.json").unlink()
    later = desk.driver()
    later.look()
    assert read_answer(desk.folder, request) == Answer(done=True, text="trial 3 comes next")
    assert len(desk.study.trials) == 4


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"action": "add", "words": [1]}'])
def test_a_damaged_request_holds_up_no_other(content: bytes, desk: Desk) -> None:
    place = requests_folder(desk.folder)
    place.mkdir()
    for name in ("1-a.json", "later.json", "later.answer.json"):
        (place / name).write_bytes(content)
    assert desk.asked("pause") == Answer(
        done=True, text="no trial starts until resume; those that run go on"
    )
    told = [(entry["request"], entry["done"]) for entry in history_of(desk.study)]
    assert told[0] == ("1-a", False)
    assert [done for _, done in told] == [False, True]
    desk.desk.look()
    assert len(history_of(desk.study)) == 2  # each is answered once
    request = Request(name="later", action="pause", words=())
    with pytest.raises(ConfigError, match="is damaged"):
        read_answer(desk.folder, request)


def test_an_interrupted_trial_is_stopped_and_a_pause_outlives_the_driver(desk: Desk) -> None:
    assert desk.asked("stop", "2") == Answer(done=True, text="trial 2 ends where it was")
    assert desk.study.trials[2].state == TrialState.PRUNED
    assert desk.told == [2]
    desk.asked("pause")
    again = open_study(desk.folder, desk.spec, FIXED, [])
    assert is_paused(again)
    desk.asked("resume")
    assert not is_paused(again)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["ad"],
            "ad is no action: use add, stop, pause, resume, retry, set, finish; did you mean",
        ),
        (["add", "training.learning_rat=1"], "is not searched: use training.learning_rate"),
        (["add", "training.learning_rate=1"], "training.learning_rate is 1: use 5e-05 to 0.005"),
        (["add", "training.learning_rate=yes"], "training.learning_rate is True: use 5e-05"),
        (["add", "training.weight_decay=0.1"], "training.weight_decay is fixed at 0.0 in this"),
        (["add", "x"], "override 'x': write key.path=value"),
        (["stop"], "trial is not given: use a number, 0 to 2"),
        (["stop", "7"], "trial is 7: use a number, 0 to 2"),
        (["stop", "0"], "trial 0 is complete: there is nothing to stop"),
        (["retry", "0"], "trial 0 is complete: only failed trials are retried"),
        (["set", "trials=0"], "trials is 0: use 1 to 100,000"),
        (["set", "training.epochs=1"], "set takes trials=NUMBER; all else belongs"),
        (["pause", "now"], "pause takes no more words, but there is now"),
    ],
)
def test_what_cannot_be_done_is_refused_by_the_command_and_by_the_driver(
    words: list[str], says: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = f"storage={desk.folder.parent}"
    assert main(["tiny", *words, storage, "--wait", "0"]) == 2
    assert says in capsys.readouterr().err
    assert not requests_folder(desk.folder).exists()  # type: ignore[union-attr]
    if words[0] not in ("ad", "pause"):
        said = desk.asked(*words)
        assert said is not None
        assert not said.done
        assert says in said.text
        assert main(["tiny", storage]) == 0
        assert f"{' '.join(words)}: refused, " in capsys.readouterr().out


def test_a_request_waits_for_a_driver(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    storage = f"storage={desk.folder.parent}"
    assert main(["tiny", "finish", storage, "--wait", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["done"]
    assert told["answer"] == "no driver has taken it up yet: it waits for one"
    desk.desk.look()
    assert main(["tiny", storage]) == 0
    assert "finish: no further trial starts, those that run go on" in capsys.readouterr().out


class Person(threading.Thread):
    """Somebody who steers the sweep while it runs."""

    def __init__(self, folder: Path, gate: Gate) -> None:
        super().__init__(daemon=True)
        self.folder, self.gate = folder, gate
        self.answers: list[Any] = []

    def ask(self, action: str, *words: str) -> None:
        request = ask(self.folder, action, words)
        while (said := read_answer(self.folder, request)) is None:
            time.sleep(0.1)
        self.answers.append(said.text)

    def run(self) -> None:
        while self.gate.waiting(0, 1) is None:
            time.sleep(0.1)
        self.ask("pause")
        self.ask("set", "trials=2")
        self.ask("add", f"{RATE}=0.001")
        self.ask("stop", "0")
        self.gate.open_until(3)
        self.ask("resume")


@pytest.mark.cluster
@pytest.mark.filterwarnings("default")
def test_a_running_sweep_is_steered(sweep: Sweep) -> None:
    gate = Gate(sweep.folder / "gate", 1)
    sweep.write(
        trials=1,
        training={"epochs": 3, "batch_size": 32},
        method={"cross_entropy": {}, GATE: {"folder": str(gate.folder)}},
        search={"space": "pretrain"},
        resources={"cpu": 1, "max_concurrent": 1},
    )
    person = Person(sweep.folder / "runs" / "tiny", gate)
    person.start()
    code, output = sweep.run()
    assert code == 0, output
    person.join(10)
    assert person.answers == [
        "no trial starts until resume; those that run go on",
        "2 trials in all, those that were added included",
        "trial 1 comes next",
        "trial 0 ends with its epoch",
        "goes on",
    ]
    first, added, last = sweep.trials()
    assert first.state == TrialState.PRUNED
    assert first.user_attrs["metrics"]["epoch"] == 2
    assert [added.state, last.state] == [TrialState.COMPLETE] * 2
    assert added.user_attrs["parameters"][RATE] == 0.001
    assert f"asked to add {RATE}=0.001: trial 1 comes next" in output
    history = history_of(load_study(sweep.folder / "runs" / "tiny"))
    assert [entry["done"] for entry in history] == [True] * 5
