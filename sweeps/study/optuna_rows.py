"""Rows of a trial in Optuna's tables, written with few statements.

Optuna writes a trial through the objects of an ORM and looks for each before: an attribute costs
it as much as a whole trial costs here. The tables are Optuna's own, in the same form, so every
other process reads them through Optuna.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, Engine, Executable, Table, bindparam, insert, update
from sqlalchemy.dialects import postgresql, sqlite

_KEY = "trial_id"


@dataclass
class Changes:
    """What of a trial the database does not know yet: names, and whether the state is another."""

    state: bool = False
    params: set[str] = field(default_factory=set)
    user_attrs: set[str] = field(default_factory=set)
    system_attrs: set[str] = field(default_factory=set)


class TrialRows:
    """Writes trials of one study; nobody else does.

    Args:
        engine: The database, sqlite or PostgreSQL.
        study_id: The study's key there.
    """

    def __init__(self, engine: Engine, study_id: int) -> None:
        self._engine = engine
        self._study_id = study_id
        trials = _table(models.TrialModel)
        self._add = insert(trials)
        self._change = update(trials).where(trials.c[_KEY] == bindparam("of_trial"))
        dialect = engine.dialect.name
        self._params = _upsert(dialect, _table(models.TrialParamModel), "param_name")
        self._values = _upsert(dialect, _table(models.TrialValueModel), "objective")
        self._user_attrs = _upsert(dialect, _table(models.TrialUserAttributeModel), "key")
        self._system_attrs = _upsert(dialect, _table(models.TrialSystemAttributeModel), "key")

    def write(
        self, pending: Iterable[tuple[FrozenTrial, Changes]], keys: Mapping[int, int]
    ) -> dict[int, int]:
        """Write what is new of some trials, in one transaction; again does no harm.

        Args:
            pending: Trials as they shall be, and what of them is new.
            keys: The database's keys of the trials that it holds, by their numbers.

        Returns:
            The keys of trials that it did not hold.
        """
        added: dict[int, int] = {}
        with self._engine.begin() as connection:
            for trial, changes in pending:
                key = keys.get(trial.number)
                if key is None:
                    key = added[trial.number] = self._insert(connection, trial)
                    changes = _all_of(trial)
                self._write(connection, trial, changes, key)
        return added

    def _insert(self, connection: Connection, trial: FrozenTrial) -> int:
        row = {"number": trial.number, "study_id": self._study_id, **_standing(trial)}
        result = connection.execute(self._add, row)
        assert result.inserted_primary_key is not None
        return int(result.inserted_primary_key[0])

    def _write(
        self, connection: Connection, trial: FrozenTrial, changes: Changes, key: int
    ) -> None:
        def put(statement: Executable, rows: list[dict[str, Any]]) -> None:
            if rows:
                connection.execute(statement, [{_KEY: key, **row} for row in rows])

        put(self._params, [_param_row(trial, name) for name in changes.params])
        put(self._user_attrs, _attribute_rows(trial.user_attrs, changes.user_attrs))
        put(self._system_attrs, _attribute_rows(trial.system_attrs, changes.system_attrs))
        if changes.state:
            put(self._values, _value_rows(trial))
            connection.execute(self._change, {"of_trial": key, **_standing(trial)})


def _table(model: type[models.BaseModel]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


def _upsert(dialect: str, table: Table, name: str) -> Executable:
    """Make the statement that adds a row of a trial, or changes the one of the same name."""
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    parts = [table.c[_KEY], table.c[name]]
    kept = {*parts, *table.primary_key.columns}
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c not in kept}
    upsert: Executable = statement.on_conflict_do_update(index_elements=parts, set_=changed)
    return upsert


def _all_of(trial: FrozenTrial) -> Changes:
    return Changes(
        # Its state is in the row itself; only values are not.
        state=trial.values is not None,
        params=set(trial.params),
        user_attrs=set(trial.user_attrs),
        system_attrs=set(trial.system_attrs),
    )


def _standing(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "state": trial.state,
        "datetime_start": _utc(trial.datetime_start),
        "datetime_complete": _utc(trial.datetime_complete),
    }


def _utc(moment: datetime | None) -> datetime | None:
    """Return a local time as Optuna stores it: of Greenwich, without saying so."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def _param_row(trial: FrozenTrial, name: str) -> dict[str, Any]:
    distribution = trial.distributions[name]
    return {
        "param_name": name,
        "param_value": distribution.to_internal_repr(trial.params[name]),
        "distribution_json": distribution_to_json(distribution),
    }


def _value_rows(trial: FrozenTrial) -> list[dict[str, Any]]:
    rows = []
    for objective, value in enumerate(trial.values or ()):
        stored, kind = models.TrialValueModel.value_to_stored_repr(value)
        rows.append({"objective": objective, "value": stored, "value_type": kind})
    return rows


def _attribute_rows(attributes: Mapping[str, Any], names: Collection[str]) -> list[dict[str, Any]]:
    return [{"key": name, "value_json": json.dumps(attributes[name])} for name in sorted(names)]
