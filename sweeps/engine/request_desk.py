"""Desk for requests to a running sweep: its driver takes them up, does as asked, and answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import optuna
from optuna.trial import TrialState

from hsplid_core.bucket_path import BucketError
from hsplid_core.errors import ConfigError
from search_spaces import ParameterValue
from sweeps.engine.study_searcher import StudySearcher
from sweeps.search.space_probe import probe_space
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.storage.requests import Answer, Request, answer, requests_folder, waiting
from sweeps.study.steered import (
    check_stoppable,
    enqueue,
    is_paused,
    note_request,
    read_failed,
    read_point,
    read_trials,
    steer,
    total_trials,
)

_FOLDER_S, _BUCKET_S = 1.0, 5.0


class RequestDesk:
    """Takes requests up, one after the other, in the driver's own thread.

    Args:
        folder: The sweep's folder.
        spec: The sweep.
        fixed: Config fields that are no longer searched.
        study: The sweep's study, which keeps what outlives the driver.
        on_told: Called with the number of a trial that a request has ended.
        on_total: Called with the number of trials in all, when a request changes it.
        say: Tells people what was asked, and the answer.
    """

    def __init__(
        self,
        folder: Path,
        spec: SweepSpec,
        fixed: Mapping[str, ParameterValue],
        study: optuna.Study,
        *,
        on_told: Callable[[int], None],
        on_total: Callable[[int], None],
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._spec = spec
        self._fixed = fixed
        self._study = study
        self._on_told = on_told
        self._on_total = on_total
        self._say = say
        self._every_s = _FOLDER_S if isinstance(requests_folder(folder), Path) else _BUCKET_S
        self._next = 0.0

    def look(self, searcher: StudySearcher | None = None) -> None:
        """Take up what was asked since the last look, at most once in a second.

        Args:
            searcher: Hands out trials; None while none run.
        """
        if searcher is not None and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        try:
            requests = list(waiting(self._folder))
        except (OSError, BucketError, ValueError, LookupError):
            return  # the next look may read them; training is worth more
        for request in requests:
            try:
                said = Answer(done=True, text=self._do(request, searcher))
            except ConfigError as error:
                said = Answer(done=False, text=str(error))
            note_request(self._study, request, said)
            answer(self._folder, request, said)
            asked = " ".join((request.action, *request.words))
            self._say(f"asked to {asked}: {said.text}")
        if requests:
            total = total_trials(self._study, self._spec)
            self._on_total(total)
            if searcher is not None:
                searcher.set_total(total)
                searcher.paused = is_paused(self._study)

    def _do(self, request: Request, searcher: StudySearcher | None) -> str:
        study, words = self._study, request.words
        if request.action == "add":
            space = probe_space(self._spec, self._fixed)
            point = read_point(words, self._spec, self._fixed, space)
            return f"trial {enqueue(study, request, point)} comes next"
        if request.action == "retry":
            failed = read_failed(words, study)
            numbers = [enqueue(study, request, t.params, i) for i, t in enumerate(failed)]
            return f"{_listed([t.number for t in failed])} again as {_listed(numbers)}"
        if request.action == "stop":
            return self._stop(check_stoppable(words, study), searcher)
        if request.action == "set":
            trials = read_trials(words)
            steer(study, trials=trials, trials_before=self._spec.trials)
            return (
                f"{total_trials(study, self._spec)} trials in all, those that were added included"
            )
        if request.action == "finish":
            steer(study, finishing=True)
            return "no further trial starts, those that run go on to their ends"
        if request.action in ("pause", "resume"):
            paused = request.action == "pause"
            steer(study, paused=paused)
            return "no trial starts until resume; those that run go on" if paused else "goes on"
        raise ConfigError(f"{request.action} is nothing that this version can do")

    def _stop(self, number: int, searcher: StudySearcher | None) -> str:
        if searcher is not None:
            running = searcher.handed_out(number)
            for trial_id in running:
                searcher.end_early(trial_id)
            if running:
                return f"trial {number} ends with its epoch"
            searcher.forget(number)
        self._study.tell(number, state=TrialState.PRUNED)
        self._on_told(number)
        return f"trial {number} ends where it was"


def _listed(numbers: list[int]) -> str:
    noun = "trial" if len(numbers) == 1 else "trials"
    return f"{noun} {', '.join(map(str, numbers))}"
