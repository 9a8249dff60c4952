"""Ray Tune's searcher over a durable Optuna study.

Ray's own OptunaSearch leaves trials RUNNING for ever when the driver dies or an objective is
missing, and enqueues the first points again on every run. Here the study is the only state: a
trial is asked for once, told once, and an interrupted one is handed out again under its number.
"""

from __future__ import annotations

import difflib
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from hsplid_core.errors import ConfigError
from search_spaces import ParameterValue, SearchSpace
from sweeps.study import interrupted_trials
from trainables.config import TrialConfig
from trainables.trainable import FAILURE, METRICS, SECONDS, TABLES, TRACEBACK, Assignment

ASSIGNMENT = "assignment"


class StudySearcher(Searcher):
    """Hands out a study's trials and tells it how they ended.

    Args:
        study: The study.
        space: Where new trials get their parameters.
        base: Configuration that the parameters change.
        objectives: Names of the metrics that become the trial's values.
        total: Trials that the study shall hold in all.
        threads: CPU threads of a trial.
        find_checkpoint: Newest whole checkpoint file of a trial by its number, None without.
        on_told: Called with a trial's number after the study knows its outcome.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: SearchSpace,
        base: TrialConfig,
        *,
        objectives: Sequence[str],
        total: int,
        threads: int,
        find_checkpoint: Callable[[int], Path | None],
        on_told: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._study = study
        self._space = space
        self._base = base
        self._objectives = tuple(objectives)
        self._total = total
        self._threads = threads
        self._find_checkpoint = find_checkpoint
        self._on_told = on_told
        self._interrupted = deque(interrupted_trials(study))
        self._numbers: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave nothing to Ray's experiment snapshots: the study is the state."""
        return {}

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Accept Ray's defaults: the objectives are the study's."""
        return True

    @property
    def remaining(self) -> int:
        """Trials still to be handed out."""
        return len(self._interrupted) + max(0, self._total - self._n_asked)

    @property
    def _n_asked(self) -> int:
        # A waiting trial (the enqueued first one) is still to be asked for.
        return sum(
            trial.state != TrialState.WAITING for trial in self._study.get_trials(deepcopy=False)
        )

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Hand out an interrupted trial, else a new one, else say that the sweep is complete."""
        if self._interrupted:
            trial = self._trial(self._interrupted.popleft())
        elif self._n_asked < self._total:
            trial = self._study.ask()
        else:
            return cast(dict[str, Any], Searcher.FINISHED)  # a string, by Ray's convention
        self._numbers[trial_id] = trial.number
        checkpoint = self._find_checkpoint(trial.number)
        assignment = Assignment(
            number=trial.number,
            base=self._base,
            parameters=self._parameters(trial),
            threads=self._threads,
            resume_from=None if checkpoint is None else str(checkpoint),
        )
        return {ASSIGNMENT: assignment}

    def _trial(self, number: int) -> optuna.Trial:
        """Return the handle of a trial that another driver asked for."""
        return optuna.Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)

    def _parameters(self, trial: optuna.Trial) -> dict[str, ParameterValue]:
        # A driver that died between asking and writing them down left a trial without; the
        # space then finds again what it had suggested and suggests the rest.
        known: dict[str, ParameterValue] | None = trial.user_attrs.get("parameters")
        if known is not None:
            return known
        parameters = self._space(trial)
        trial.set_user_attr("parameters", parameters)
        return parameters

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Ignore results on the way: the last one counts."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study how a trial ended.

        Without result and error the trial was merely stopped: it stays RUNNING in the study and
        is handed out again by the next run.
        """
        number = self._numbers.pop(trial_id)
        if error:
            self._fail(number, "its worker was lost more often than max_failures allows", {})
        elif result is not None:
            self._tell(number, result)
        else:
            return
        self._on_told(number)

    def _tell(self, number: int, result: Mapping[str, Any]) -> None:
        prefix = f"{METRICS}/"
        metrics = {
            key.removeprefix(prefix): float(value)
            for key, value in result.items()
            if key.startswith(prefix)
        }
        attributes = {METRICS: metrics, "seconds": result.get(SECONDS)}
        if TABLES in result:
            attributes[TABLES] = result[TABLES]
        if FAILURE in result:
            attributes[TRACEBACK] = result.get(TRACEBACK)
            self._fail(number, result[FAILURE], attributes)
            return
        try:
            values = objective_values(metrics, self._objectives)
        except ConfigError as error:
            self._fail(number, str(error), attributes)
            return
        self._annotate(number, attributes)
        self._study.tell(number, values)

    def _fail(self, number: int, cause: str, attributes: Mapping[str, Any]) -> None:
        self._annotate(number, {**attributes, FAILURE: cause})
        self._study.tell(number, state=TrialState.FAIL)

    def _annotate(self, number: int, attributes: Mapping[str, Any]) -> None:
        # Before tell: a finished trial's attributes cannot be changed any more.
        trial = self._trial(number)
        for key, value in attributes.items():
            trial.set_user_attr(key, value)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the study is durable by itself."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the study is durable by itself."""


def objective_values(metrics: Mapping[str, float], objectives: Sequence[str]) -> list[float]:
    """Pick a trial's objective values out of its last metrics.

    Args:
        metrics: Metrics of the last epoch by name.
        objectives: Names of the objectives.

    Raises:
        ConfigError: An objective is missing, or is NaN or infinite.
    """
    for name in objectives:
        if name not in metrics:
            near = difflib.get_close_matches(name, metrics, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"objective {name} is not among the metrics of the last epoch: {sorted(metrics)}"
                f"{hint}"
            )
        if not math.isfinite(metrics[name]):
            raise ConfigError(f"objective {name} is {metrics[name]} in the last epoch")
    return [metrics[name] for name in objectives]
