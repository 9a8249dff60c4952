"""A study as its only writer sees it: read from memory, written to the database step by step.

Optuna's storage for databases makes a transaction of every parameter and attribute, and asks the
database again for much of what this process itself has written. One process alone writes a
sweep's study, so here it keeps the study in memory, and within a step it collects what it changes.
At the step's end all of that is written in one transaction: the database never holds half a step.
Outside of a step each change is written at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from sweeps.study.optuna_rows import Changes, TrialRows


class DriverStorage(InMemoryStorage):
    """The storage of one study that no other process writes.

    Args:
        backend: The database; holds the study already.
        study_name: The study's name there.
    """

    def __init__(self, backend: RDBStorage, study_name: str) -> None:
        super().__init__()
        self._backend = backend
        self._backend_id = backend.get_study_id_from_name(study_name)
        # The database's keys of the trials that it holds, by their numbers.
        self._keys: dict[int, int] = {}
        self._pending: dict[int, Changes] = {}
        self._rows = TrialRows(backend.engine, self._backend_id)
        self._in_step = False
        self._distributions: dict[str, BaseDistribution] = {}
        self._load(study_name)

    def _load(self, study_name: str) -> None:
        directions = self._backend.get_study_directions(self._backend_id)
        study = super().create_new_study(directions, study_name)
        for key, value in self._backend.get_study_user_attrs(self._backend_id).items():
            super().set_study_user_attr(study, key, value)
        for key, value in self._backend.get_study_system_attrs(self._backend_id).items():
            super().set_study_system_attr(study, key, value)
        trials = self._backend.get_all_trials(self._backend_id, deepcopy=False)
        for trial in sorted(trials, key=lambda trial: trial.number):
            self._keys[trial.number] = trial._trial_id
            self._distributions.update(trial.distributions)
            super().create_new_trial(study, trial)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Write what is changed inside at its end."""
        before, self._in_step = self._in_step, True
        try:
            yield
        finally:
            self._in_step = before
            self._write()

    def _changed(self, trial_id: int) -> Changes:
        # In memory, where there is one study, ids are numbers.
        return self._pending.setdefault(trial_id, Changes())

    def _write(self) -> None:
        if self._in_step or not self._pending:
            return
        # What cannot be written stays, and is written with the next step.
        pending = [(self.get_trial(number), new) for number, new in self._pending.items()]
        self._keys |= self._rows.write(pending, self._keys)
        self._pending.clear()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Write an attribute of the study at once."""
        self._backend.set_study_user_attr(self._backend_id, key, value)
        super().set_study_user_attr(study_id, key, _stored(value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Write an attribute of the study at once."""
        self._backend.set_study_system_attr(self._backend_id, key, value)
        super().set_study_system_attr(study_id, key, _stored(value))

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Add a trial."""
        trial_id = super().create_new_trial(study_id, template_trial)
        self._changed(trial_id)
        self._write()
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a parameter of a trial that is not finished.

        Raises:
            ValueError: Earlier trials had it from another kind of distribution.
        """
        if (known := self._distributions.get(param_name)) is not None:
            check_distribution_compatibility(known, distribution)
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._distributions[param_name] = distribution
        self._changed(trial_id).params.add(param_name)
        self._write()

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Change a trial's state, and set its values with it."""
        changed = super().set_trial_state_values(trial_id, state, values)
        self._changed(trial_id).state = True
        self._write()
        return changed

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Refuse: the engine reports no values on the way, and studies have several objectives."""
        raise NotImplementedError("trials of a sweep have no intermediate values")

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial that is not finished."""
        super().set_trial_user_attr(trial_id, key, _stored(value))
        self._changed(trial_id).user_attrs.add(key)
        self._write()

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial that is not finished."""
        super().set_trial_system_attr(trial_id, key, _stored(value))
        self._changed(trial_id).system_attrs.add(key)
        self._write()

    def remove_session(self) -> None:
        """Let go of the database's connections."""
        self._backend.engine.dispose()


def driven(study: optuna.Study) -> optuna.Study:
    """Open a study anew for the process that alone writes it.

    Args:
        study: As Optuna opened it.

    Returns:
        The same study over :class:`DriverStorage` if it is in a database; else as it was, for a
        journal is in memory anyway.
    """
    backend = getattr(study._storage, "_backend", None)
    if not isinstance(backend, RDBStorage):
        return study
    storage = DriverStorage(backend, study.study_name)
    return optuna.load_study(study_name=study.study_name, storage=storage)


@contextmanager
def one_step(study: optuna.Study) -> Iterator[None]:
    """Collect the changes of a study inside and write them at the end, where its storage can.

    Args:
        study: Any study.
    """
    storage = study._storage
    if not isinstance(storage, DriverStorage):
        yield
        return
    with storage.step():
        yield


def _stored(value: Any) -> Any:
    """Return a value as the database gives it back: with lists for tuples, and texts for keys."""
    return json.loads(json.dumps(value))
