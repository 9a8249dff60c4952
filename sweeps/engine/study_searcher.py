"""Ray Tune's searcher over a durable Optuna study.

Ray's own OptunaSearch leaves trials RUNNING for ever when the driver dies or an objective is
missing, and enqueues the first points again on every run. Here the study is the only state: a
trial is asked for once, told once, and an interrupted one is handed out again under its number.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from hsplid_core.bucket_path import AnyPath
from search_spaces import ParameterValue, SearchSpace
from sweeps.engine.replicates import Job, Replicates, combined, keep, results_of, seconds_of
from sweeps.spec.search_spec import ConstraintSpec
from sweeps.spec.sweep_spec import FailuresSpec
from sweeps.terminal.stop_signals import stopped_by
from sweeps.trials.attributes import (
    ATTEMPTS,
    CAUSE,
    FAILURE,
    INFEASIBLE,
    PARAMETERS,
    RESOURCES,
    RUNGS,
    SECONDS,
    SWEEP_ID,
    TRACEBACK,
)
from sweeps.trials.outcome import TrialOutcome, lost_worker, outcome_of
from trainables.result_keys import ASSIGNMENT
from trainables.trainable import Assignment

# Losses of a trial that was told to give up, after which no other can be expected to run.
_LOSSES_WITHOUT_WORK = 3

FindCheckpoint = Callable[[int, Mapping[str, ParameterValue], int], AnyPath | None]

# What only some ends leave in a trial.
_OF_SOME_ENDS = (FAILURE, CAUSE, TRACEBACK, INFEASIBLE)


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What all trials of a sweep have in common.

    Attributes:
        space: Where new trials get their parameters.
        objectives: Names of the metrics that become a trial's values.
        constraints: Limits of usable trials.
        resources: What a trial occupies: ``cpu`` and ``gpu``.
        failures: What is done about trials that fail.
        replicates: Which of them run under several seeds.
    """

    space: SearchSpace
    objectives: Sequence[str]
    constraints: Sequence[ConstraintSpec] = ()
    resources: Mapping[str, float] = field(default_factory=lambda: {"cpu": 1.0, "gpu": 0.0})
    failures: FailuresSpec = field(default_factory=FailuresSpec)
    replicates: Replicates = field(default_factory=Replicates)


def _do_nothing(*_: object) -> None:
    pass


class StudySearcher(Searcher):
    """Hands out a study's trials and tells it how they ended.

    Args:
        study: The study.
        plan: What all trials have in common.
        total: Trials that the study shall hold in all.
        interrupted: Trials that an earlier driver never finished, handed out first.
        find_checkpoint: Newest whole checkpoint file of a trial by its number, its parameters and
            the place of its seed, None without.
        on_told: Called with a trial's number after the study knows its outcome.

    Attributes:
        stop_reason: Why no more trials are handed out, where too many of the first ones failed.
        closed: Why no more trials are handed out, where that is as it should be.
        leaves_running: Whether the trials that run end then, too, and go on in a later run.
        paused: Whether no trial is handed out for now.
        on_ask: Called when Ray asks for a trial, which it also does while nothing runs.
        on_end: Called with a trial as the study knows it to have ended.
    """

    def __init__(
        self,
        study: optuna.Study,
        plan: TrialPlan,
        *,
        total: int,
        interrupted: Sequence[optuna.Trial] = (),
        find_checkpoint: FindCheckpoint,
        on_told: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._study = study
        self._plan = plan
        self._total = total
        self._find_checkpoint = find_checkpoint
        self._on_told = on_told
        lacking = [job for trial in interrupted for job in plan.replicates.lacking(trial)]
        self._interrupted = deque(job for job in lacking if not job.replicate)
        self._further = deque(job for job in lacking if job.replicate)
        # A waiting trial (an enqueued first one) is still to be asked for.
        self._n_asked = sum(
            trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False)
        )
        self._handed_out: dict[str, Job] = {}
        self._losses: Counter[str] = Counter()
        self._first: list[str | None] = []
        self._begun: set[str] = set()
        self.stop_reason: str | None = None
        self.closed: str | None = None
        self.leaves_running = False
        self.paused = False
        self.on_ask: Callable[[], None] = _do_nothing
        self.on_end: Callable[[FrozenTrial], None] = _do_nothing
        self._ending: set[str] = set()
        self._ended_by_a_seed: set[int] = set()

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
        """Trials still to be handed out, each seed of one for itself."""
        new = max(0, self._total - self._n_asked)
        return len(self._further) + len(self._interrupted) + new

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Hand out what is begun, else a new trial, else say that the sweep is complete."""
        self.on_ask()
        if self.paused and self.closed is None and self.stop_reason is None:
            # Ray hears of Control-C only after it has got a trial, or that there are no more.
            if stopped_by() is not None:
                return cast(dict[str, Any], Searcher.FINISHED)
            return None
        if self.stop_reason is None and not self.leaves_running:
            # A trial that lacks seeds only is one of those that go on to their ends.
            if self._further or (self.closed is None and self.remaining):
                return {ASSIGNMENT: self._hand_out(trial_id)}
            # While trials run, more of them may be asked for.
            if self._handed_out:
                return None
        return cast(dict[str, Any], Searcher.FINISHED)  # a string, by Ray's convention

    def _hand_out(self, trial_id: str) -> Assignment:
        begun = self._further or self._interrupted
        is_new = not begun
        if is_new:
            job = Job(self._study.ask())
            self._n_asked += 1
        else:
            job = begun.popleft()
        trial, seed = job.trial, self._plan.replicates.seeds[job.replicate]
        parameters = self._parameters(trial)
        if job.replicate:
            parameters = {**parameters, "seed": seed}
        checkpoint: AnyPath | None = None
        if not is_new:
            checkpoint = self._find_checkpoint(trial.number, parameters, job.replicate)
        self._handed_out[trial_id] = job
        resources = dict(self._plan.resources)
        if trial.user_attrs.get(RESOURCES) != resources:
            trial.set_user_attr(RESOURCES, resources)
        return Assignment(
            number=trial.number,
            parameters=parameters,
            threads=max(1, int(resources["cpu"])),
            resume_from=None if checkpoint is None else str(checkpoint),
            memory_retries=self._plan.failures.memory_retries,
            memory_share=resources["gpu"] if 0 < resources["gpu"] < 1 else None,
            sweep=self._study.user_attrs.get(SWEEP_ID),
            replicate=job.replicate,
        )

    def _parameters(self, trial: optuna.Trial) -> dict[str, ParameterValue]:
        # A driver that died between asking and writing them down left a trial without; the
        # space then finds again what it had suggested and suggests the rest.
        known: dict[str, ParameterValue] | None = trial.user_attrs.get(PARAMETERS)
        if known is not None:
            return known
        parameters = self._plan.space(trial)
        trial.set_user_attr(PARAMETERS, parameters)
        return parameters

    def note_start(self, trial_id: str) -> int:
        """Count an attempt of a trial, for it got a worker.

        Args:
            trial_id: Ray's name of the trial.

        Returns:
            The number of this attempt, from 1, over all runs of the sweep; those of its further
            seeds do not count.
        """
        self._begun.add(trial_id)
        trial, replicate = self._handed_out[trial_id].trial, self._handed_out[trial_id].replicate
        if replicate:
            return int(trial.user_attrs.get(ATTEMPTS, 1))
        attempt = int(trial.user_attrs.get(ATTEMPTS, 0)) + 1
        trial.set_user_attr(ATTEMPTS, attempt)
        return attempt

    def handed_out(self, number: int) -> list[str]:
        """Return Ray's names of what is with Ray now of a trial."""
        return [name for name, job in self._handed_out.items() if job.trial.number == number]

    def forget(self, number: int) -> None:
        """Hand out nothing more of a trial that was begun."""
        for waiting in (self._interrupted, self._further):
            for job in [job for job in waiting if job.trial.number == number]:
                waiting.remove(job)

    def set_total(self, total: int) -> None:
        """Change how many trials the study shall hold in all."""
        self._total = total

    def end_early(self, trial_id: str) -> None:
        """Let a trial end with its epoch, as a scheduler ends one.

        Args:
            trial_id: Ray's name of the trial.
        """
        self._ending.add(trial_id)

    def ends_early(self, trial_id: str) -> bool:
        """Tell whether a trial shall end with its epoch."""
        return trial_id in self._ending

    def has_begun(self, trial_id: str) -> bool:
        """Tell whether a trial ever got a worker in this run, if only for its first seed.

        Args:
            trial_id: Ray's name of the trial.
        """
        job = self._handed_out.get(trial_id)
        return trial_id in self._begun or (job is not None and job.replicate > 0)

    def note_loss(self, trial_id: str) -> int | None:
        """Count that a trial lost its worker.

        Args:
            trial_id: Ray's name of the trial.

        Returns:
            How often that happened since its last checkpoint, where that is too often.
        """
        self._losses[trial_id] += 1
        losses = self._losses[trial_id]
        if losses > self._plan.failures.max_losses + _LOSSES_WITHOUT_WORK:
            # A worker that would only tell of the losses did not come that far either.
            self.stop_reason = (
                f"workers cannot be started: trial {self._handed_out[trial_id].trial.number} lost "
                f"{losses} in a row, the last ones before they had anything to do, as when memory "
                "is short (then lower resources.max_concurrent or data.workers)"
            )
        return losses if losses > self._plan.failures.max_losses else None

    def forget_losses(self, trial_id: str) -> None:
        """Count a trial's losses anew, for it has finished an epoch.

        Args:
            trial_id: Ray's name of the trial.
        """
        self._losses.pop(trial_id, None)

    def note_rungs(self, trial_id: str, reached: Mapping[int, Sequence[float]]) -> None:
        """Write down a trial's values at the rungs that it has reached.

        Args:
            trial_id: Ray's name of the trial.
            reached: Values, to minimise, by epochs of the rung.
        """
        texts = {str(level): list(values) for level, values in reached.items()}
        self._handed_out[trial_id].trial.set_user_attr(RUNGS, texts)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Ignore results on the way: the last one counts."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study how a trial ended, once none of its seeds is still to come.

        Without result and error the trial was merely stopped: it stays RUNNING in the study and
        is handed out again by the next run.
        """
        job = self._handed_out.pop(trial_id)
        if job.trial.number in self._ended_by_a_seed:
            return
        if error:
            outcome = lost_worker()
        elif result is not None:
            outcome = outcome_of(result, self._plan.objectives, self._plan.constraints)
        else:
            (self._further if job.replicate else self._interrupted).append(job)
            return
        whole = self._with_other_seeds(job, outcome)
        if whole is not None:
            self.on_end(self._tell(job.trial, whole))
            self._on_told(job.trial.number)

    def _with_other_seeds(self, job: Job, outcome: TrialOutcome) -> TrialOutcome | None:
        """Return how a trial ended by what one of its seeds brought, None while it goes on.

        A seed that did not come to its end decides for all.
        """
        plan, trial = self._plan, job.trial
        further = plan.replicates.further(job, outcome)
        if not further and not job.replicate:
            return outcome
        seed = plan.replicates.seeds[job.replicate]
        if outcome.state != TrialState.COMPLETE:
            self._ended_by_a_seed.add(trial.number)
            self.forget(trial.number)
            self._ending |= {*self.handed_out(trial.number)}
            before = seconds_of(results_of(trial)) + (outcome.attributes.get(SECONDS) or 0.0)
            told: dict[str, Any] = {**outcome.attributes, SECONDS: before}
            if FAILURE in told:
                told[FAILURE] = f"with seed {seed}: {told[FAILURE]}"
            return dataclasses.replace(outcome, attributes=told)
        results = keep(job, outcome, seed)
        self._further.extend(further)
        if len(results) < len(plan.replicates.seeds):
            return None
        return combined(results, plan.objectives, plan.constraints)

    def _tell(self, trial: optuna.Trial, outcome: TrialOutcome) -> FrozenTrial:
        # A driver that was killed here may have left part of another end.
        attributes = {key: None for key in _OF_SOME_ENDS if key in trial.user_attrs}
        # Before tell: a finished trial's attributes cannot be changed any more.
        for key, value in {**attributes, **outcome.attributes}.items():
            trial.set_user_attr(key, value)
        for name, excess in outcome.constraints.items():
            # Optuna keeps the first value of a constraint and warns of a second.
            if name not in trial.constraints:
                trial.set_constraint(name, excess)
        ended = self._study.tell(trial, outcome.values, state=outcome.state)
        self._judge_start(outcome.attributes.get(FAILURE) if outcome.counts_as_failure else None)
        return ended

    def _judge_start(self, failure: str | None) -> None:
        """Stop a sweep whose first trials fail: the others would, too."""
        settings = self._plan.failures
        if len(self._first) >= settings.stop_after:
            return
        self._first.append(failure)
        failed = [text for text in self._first if text is not None]
        if len(failed) > settings.stop_share * settings.stop_after:
            self.stop_reason = (
                f"{len(failed)} of the first {len(self._first)} trials failed "
                "(failures.stop_share and failures.stop_after set the limit), the last one with: "
                f"{failed[-1]}"
            )

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the study is durable by itself."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the study is durable by itself."""
