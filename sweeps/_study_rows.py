"""The rows of one study's trials, in the tables of Optuna's own schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages._rdb.models import (
    TrialModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.trial import FrozenTrial
from sqlalchemy import Table, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# Both know "on conflict", and only they do.
_INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass
class Changes:
    """What of a trial the database does not know yet.

    Attributes:
        state: Whether its state, times and values changed.
        params: Names of parameters.
        user_attrs: Keys of attributes.
        system_attrs: Keys of Optuna's own attributes.
    """

    state: bool = False
    params: set[str] = field(default_factory=set)
    user_attrs: set[str] = field(default_factory=set)
    system_attrs: set[str] = field(default_factory=set)

    def add_all(self, trial: FrozenTrial) -> None:
        """Note all that a trial has."""
        self.state = True
        self.params.update(trial.params)
        self.user_attrs.update(trial.user_attrs)
        self.system_attrs.update(trial.system_attrs)


class StudyRows:
    """Writes trials of a study that no other process writes.

    Args:
        engine: The database, with Optuna's tables.
        study_id: The study's key there.
    """

    def __init__(self, engine: Engine, study_id: int) -> None:
        self._engine = engine
        self._study_id = study_id
        self._keys: dict[int, int] = {}
        self._insert = _INSERTS[engine.dialect.name]

    def know(self, number: int, key: int) -> None:
        """Note under which key the database holds a trial."""
        self._keys[number] = key

    def write(self, trials: Iterable[tuple[FrozenTrial, Changes]]) -> None:
        """Write changed trials, all or none.

        Args:
            trials: Each with what of it changed.

        Raises:
            StorageInternalError: The database does not take them.
        """
        pairs = list(trials)
        keys: dict[int, int] = {}
        try:
            with self._engine.begin() as connection:
                if self._engine.dialect.name == "sqlite":
                    # A power cut must not take a finished trial; anything else may be done again.
                    ended = any(trial.state.is_finished() for trial, _ in pairs)
                    mode = "FULL" if ended else "NORMAL"
                    connection.exec_driver_sql(f"PRAGMA synchronous={mode}")
                for trial, changes in pairs:
                    keys[trial.number] = self._write_trial(connection, trial, changes)
        except SQLAlchemyError as error:
            raise optuna.exceptions.StorageInternalError(
                f"the study's database did not take {len(pairs)} trials: {error}"
            ) from error
        self._keys.update(keys)

    def _write_trial(self, connection: Connection, trial: FrozenTrial, changes: Changes) -> int:
        table: Table = TrialModel.__table__
        key = self._keys.get(trial.number)
        fields: dict[str, Any] = {
            "state": trial.state,
            "datetime_start": _utc(trial.datetime_start),
            "datetime_complete": _utc(trial.datetime_complete),
        }
        if key is None:
            fields |= {"number": trial.number, "study_id": self._study_id}
            made = connection.execute(insert(table).values(fields)).inserted_primary_key
            assert made is not None
            key = int(made[0])
        elif changes.state:
            connection.execute(update(table).where(table.c.trial_id == key).values(fields))
        if changes.state and trial.values is not None:
            self._upsert(connection, TrialValueModel, "objective", key, _values(trial.values))
        self._upsert(
            connection, TrialParamModel, "param_name", key, _params(trial, changes.params)
        )
        for model, held, names in (
            (TrialUserAttributeModel, trial.user_attrs, changes.user_attrs),
            (TrialSystemAttributeModel, trial.system_attrs, changes.system_attrs),
        ):
            self._upsert(connection, model, "key", key, _attributes(held, names))
        return key

    def _upsert(
        self,
        connection: Connection,
        model: Any,
        identity: str,
        key: int,
        rows: Sequence[Mapping[str, Any]],
    ) -> None:
        if not rows:
            return
        statement = self._insert(model.__table__)
        changing = {name: statement.excluded[name] for name in rows[0] if name != identity}
        statement = statement.on_conflict_do_update(
            index_elements=["trial_id", identity], set_=changing
        )
        connection.execute(statement, [{"trial_id": key, **row} for row in rows])


def _values(values: Sequence[float]) -> list[dict[str, Any]]:
    stored = [TrialValueModel.value_to_stored_repr(value) for value in values]
    return [
        {"objective": position, "value": value, "value_type": kind}
        for position, (value, kind) in enumerate(stored)
    ]


def _params(trial: FrozenTrial, names: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(trial.params[name]),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name in trial.params
        if name in names
    ]


def _attributes(held: Mapping[str, Any], names: Iterable[str]) -> list[dict[str, str]]:
    return [{"key": key, "value_json": json.dumps(held[key])} for key in held if key in names]


def _utc(moment: datetime | None) -> datetime | None:
    """Return a local time as Optuna keeps it: in UTC, without saying so."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
