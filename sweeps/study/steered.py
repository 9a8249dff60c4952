"""Steered studies: what people have asked of a running sweep, as far as it outlives the driver.

The study keeps it: trials that were added, another number of trials, a pause, and the history of
all requests with their answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from hsplid_core.errors import ConfigError, did_you_mean
from search_spaces import SWITCH_PREFIX, ParameterValue, optuna_parameters
from sweeps.search.space_probe import SpaceProbe
from sweeps.spec.cluster_spec import MOST_TRIALS
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.storage.requests import Answer, Request
from sweeps.trials.attributes import ADDED, HISTORY, STEERED
from sweeps.trials.from_study import record_of
from sweeps.trials.record import ENDED_STATES

_MOST_HISTORY = 1000


def total_trials(study: optuna.Study, spec: SweepSpec) -> int:
    """Return how many trials a sweep shall have in all: the spec's, or as many as were asked for.

    Args:
        study: The sweep's study.
        spec: The sweep. Where its number is another than when somebody asked, it wins.
    """
    steered = study.user_attrs.get(STEERED, {})
    asked = steered.get("trials") if steered.get("trials_before") == spec.trials else None
    added = sum(ADDED in trial.user_attrs for trial in study.get_trials(deepcopy=False))
    return int(asked or spec.trials) + added


def is_paused(study: optuna.Study) -> bool:
    """Tell whether a sweep is held, so that no trial starts."""
    return bool(study.user_attrs.get(STEERED, {}).get("paused"))


def is_finishing(study: optuna.Study) -> bool:
    """Tell whether a sweep was asked to end with the trials that run."""
    return bool(study.user_attrs.get(STEERED, {}).get("finishing"))


def steer(study: optuna.Study, **changes: Any) -> None:
    """Keep in a study how its sweep is steered."""
    study.set_user_attr(STEERED, {**study.user_attrs.get(STEERED, {}), **changes})


def note_request(study: optuna.Study, request: Request, said: Answer) -> None:
    """Add a request and its answer to a study's history."""
    entry = {
        "request": request.name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "asked": " ".join((request.action, *request.words)),
        "done": said.done,
        "answer": said.text,
    }
    history = [*study.user_attrs.get(HISTORY, []), entry]
    study.set_user_attr(HISTORY, history[-_MOST_HISTORY:])


def history_of(study: optuna.Study) -> list[Mapping[str, Any]]:
    """Return all requests to a study's sweep with their answers, the earliest first."""
    found: list[Mapping[str, Any]] = study.user_attrs.get(HISTORY, [])
    return found


def enqueue(
    study: optuna.Study, request: Request, parameters: Mapping[str, ParameterValue], index: int = 0
) -> int:
    """Let a sweep try a point next, once, however often the request is taken up.

    Args:
        study: The sweep's study.
        request: Asked for it.
        parameters: Optuna's parameters; the sampler draws what is not given.
        index: Which of the request's points it is.

    Returns:
        The trial's number.
    """
    name = f"{request.name}/{index}"
    for trial in study.get_trials(deepcopy=False):
        if trial.user_attrs.get(ADDED) == name:
            return trial.number
    study.enqueue_trial(dict(parameters), user_attrs={ADDED: name})
    return len(study.get_trials(deepcopy=False)) - 1


def read_point(
    words: Sequence[str],
    spec: SweepSpec,
    fixed: Mapping[str, ParameterValue],
    space: SpaceProbe,
) -> dict[str, ParameterValue]:
    """Read a point of the search, as ``add`` names it, into Optuna's parameters.

    Args:
        words: ``key.path=value``, each of a searched parameter.
        spec: The sweep.
        fixed: Parameters that an override holds at a value.
        space: What its space asks for.

    Raises:
        ConfigError: Something else is named, or a value that the search cannot have.
    """
    values: dict[str, ParameterValue] = {}
    searched = [name for name in space.names if not name.startswith(SWITCH_PREFIX)]
    for override in parse_overrides(words):
        path, value = override.path, override.value
        if path in fixed:
            raise ConfigError(f"{path} is fixed at {fixed[path]} in this sweep: leave it out")
        if path not in searched:
            raise ConfigError(
                f"{path} is not searched: use {', '.join(searched)}{did_you_mean(path, searched)}"
            )
        if (told := refusal(path, value, space)) is not None:
            raise ConfigError(told)
        values[path] = value
    spec.trial_config().with_parameters(values)
    return optuna_parameters(values)


def refusal(path: str, value: Any, space: SpaceProbe) -> str | None:
    """Say why a search cannot have a value; None where it can.

    Args:
        path: A parameter of the space.
        value: The value.
        space: What the space asks for.
    """
    distribution = space.distributions[path]
    if SWITCH_PREFIX + path in space.names and value == 0 and not isinstance(value, bool):
        return None
    if isinstance(distribution, CategoricalDistribution):
        # True is 1 in Python.
        fits = any(one == value and type(one) is type(value) for one in distribution.choices)
    elif isinstance(distribution, FloatDistribution | IntDistribution):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = is_number and distribution.low <= value <= distribution.high
        if fits and isinstance(distribution, IntDistribution):
            fits = (value - distribution.low) % distribution.step == 0
    else:
        fits = False
    return None if fits else f"{path} is {value!r}: use {_described(distribution)}"


def _described(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"one of {', '.join(map(repr, distribution.choices))}"
    low, high = getattr(distribution, "low", None), getattr(distribution, "high", None)
    return f"{low:g} to {high:g}, as the search does"


def read_trials(words: Sequence[str]) -> int:
    """Read ``trials=N``, as ``set`` takes it.

    Raises:
        ConfigError: It is something else.
    """
    overrides = parse_overrides(words)
    if len(overrides) != 1 or overrides[0].path != "trials":
        raise ConfigError("set takes trials=NUMBER; all else belongs to the sweep's command line")
    found = overrides[0].value
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= MOST_TRIALS:
        raise ConfigError(f"trials is {found}: use 1 to {MOST_TRIALS:,}")
    return found


def read_number(words: Sequence[str], study: optuna.Study) -> FrozenTrial:
    """Find the trial that a request names.

    Raises:
        ConfigError: There is none of that number.
    """
    trials = study.get_trials(deepcopy=False)
    text = words[0] if len(words) == 1 else " ".join(words)
    if not text.isdecimal() or int(text) >= len(trials):
        known = f"0 to {len(trials) - 1}" if trials else "none yet"
        raise ConfigError(f"trial is {text or 'not given'}: use a number, {known}")
    return trials[int(text)]


def check_stoppable(words: Sequence[str], study: optuna.Study) -> int:
    """Return the number of the trial that ``stop`` names.

    Raises:
        ConfigError: There is none of that number, or it does not run.
    """
    trial = read_number(words, study)
    state = record_of(trial).state
    if state in ENDED_STATES:
        raise ConfigError(f"trial {trial.number} is {state}: there is nothing to stop")
    if state == "waiting":
        raise ConfigError(f"trial {trial.number} waits for its turn, and cannot be taken back")
    return trial.number


def read_failed(words: Sequence[str], study: optuna.Study) -> list[FrozenTrial]:
    """Find the failed trials that a request names: one by its number, or ``failed`` for all.

    Raises:
        ConfigError: It did not fail, or none did.
    """
    if [word.lower() for word in words] != ["failed"]:
        trial = read_number(words, study)
        if (state := record_of(trial).state) != "failed":
            raise ConfigError(f"trial {trial.number} is {state}: only failed trials are retried")
        return [trial]
    trials = study.get_trials(deepcopy=False)
    found = [trial for trial in trials if record_of(trial).state == "failed"]
    if not found:
        raise ConfigError("no trial has failed")
    return found
