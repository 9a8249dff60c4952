"""The outcome of a confirmation: summed up, written down, and read again by the report."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hsplid_core.errors import ConfigError
from hsplid_core.files import read_json, replace_text
from sweeps.confirmation.plan import Plan
from sweeps.confirmation.statistics import (
    CLEAN,
    MEAN_ROBUST,
    Evidence,
    FrontStanding,
    Luck,
    Measurement,
    answers_by_seed,
    by_seed,
    front_standings,
    luck_of,
)
from sweeps.model_evaluation.confidence import Array, Spread, spread, variance_of_images
from sweeps.spec.moved_storage import CONFIRMATIONS_FOLDER
from sweeps.spec.objective import Objective
from sweeps.trials.labels import START_LABEL
from sweeps.trials.table_file import write_table

RESULT_FILE = "confirm.json"
MEASUREMENTS_FILE = "confirm.parquet"

_AXES = tuple(
    ("test", Objective(metric=name, direction="maximize")) for name in (CLEAN, MEAN_ROBUST)
)


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What new seeds said.

    Attributes:
        sweep: Name of the sweep.
        is_demo: Whether its images are a stand-in.
        seeds: The new seeds.
        suite: The attack suite on the test split.
        configurations: Names, in the order in which they are shown.
        failed: Seeds under which a configuration did not finish, by name; empty where all did.
        test: Configuration to measure to its spread on the test split.
        standings: Whether a configuration is non-dominated on the test split, by (clean accuracy,
            mean robust accuracy).
        luck: Configuration to objective to what the search flattered.
        gains: Trial to measure to what it has over its own cross-entropy, seed by seed.
        split: How the test images were chosen (``data.split``).
        doubts: Codes of the evaluation's warnings on the test split, by configuration.
    """

    sweep: str
    is_demo: bool
    seeds: tuple[int, ...]
    suite: str
    configurations: tuple[str, ...]
    failed: dict[str, list[int]]
    test: dict[str, dict[str, Spread]]
    standings: dict[str, FrontStanding]
    luck: dict[str, dict[str, Luck]]
    doubts: dict[str, list[str]]
    gains: dict[str, dict[str, Spread]]
    split: str = "own"


def sum_up(plan: Plan, evidence: Evidence) -> Confirmation:
    """Sum up all numbers of a confirmation."""
    measurements = evidence.measurements
    info = plan.sweep.info
    settings = plan.spec.evaluation.confirmation
    assert settings is not None
    measures = list(dict.fromkeys(m.measure for m in measurements if m.split == "test"))
    columns = {measure: by_seed(measurements, "test", measure) for measure in measures}
    answers = {measure: answers_by_seed(measurements, "test", measure) for measure in measures}
    known = dict.fromkeys(m.configuration for m in measurements)
    names = [name for name in (START_LABEL,) if name in known]
    names += [configuration.name for configuration in plan.configurations]
    done = {name: {m.seed for m in measurements if m.configuration == name} for name in names}
    failed = {name: sorted(set(plan.seeds) - done[name]) for name in names}
    return Confirmation(
        sweep=plan.sweep.name,
        is_demo=info is not None and info.is_demo,
        seeds=plan.seeds,
        suite=settings.suite,
        configurations=tuple(names),
        failed={name: seeds for name, seeds in failed.items() if seeds},
        test={
            name: {
                measure: spread(
                    list(columns[measure][name].values()),
                    of_images=_of_images(answers[measure].get(name)),
                    bounds=(0.0, 1.0),
                )
                for measure in measures
                if name in columns[measure]
            }
            for name in names
        },
        standings=front_standings(measurements, _AXES),
        luck=_luck(plan, measurements),
        doubts={name: list(codes) for name, codes in evidence.doubts.items()},
        gains=_gains(plan, measurements),
        split=plan.spec.data.split,
    )


def _gains(plan: Plan, measurements: Sequence[Measurement]) -> dict[str, dict[str, Spread]]:
    found: dict[str, dict[str, Spread]] = {}
    for measure in (CLEAN, MEAN_ROBUST):
        values = by_seed(measurements, "test", measure)
        for own in plan.configurations:
            trained, plain = values.get(own.name, {}), values.get(own.baseline or "", {})
            seeds = sorted(trained.keys() & plain.keys())
            if not seeds:
                continue
            of_both = [m for m in measurements if m.seed in seeds]
            answers = answers_by_seed(of_both, "test", measure)
            a, b = answers.get(own.name), answers.get(own.baseline or "")
            found.setdefault(own.name, {})[measure] = spread(
                [trained[seed] - plain[seed] for seed in seeds],
                of_images=_of_images(None if a is None or b is None else a - b),
            )
    return found


def _of_images(answers: Array | None) -> float:
    return 0.0 if answers is None or len(answers) < 2 else variance_of_images(answers)


def _luck(plan: Plan, measurements: Sequence[Measurement]) -> dict[str, dict[str, Luck]]:
    baseline = plan.sweep.info.baseline if plan.sweep.info else None
    found: dict[str, dict[str, Luck]] = {}
    for position, objective in enumerate(plan.sweep.objectives):
        confirmed = by_seed(measurements, "val", objective.metric)
        for configuration in plan.configurations:
            values = confirmed.get(configuration.name)
            if configuration.searched is None or not values:
                continue
            found.setdefault(configuration.name, {})[objective.metric] = luck_of(
                configuration.searched[position],
                values,
                objective.direction,
                searched_baseline=None if baseline is None else baseline[position],
                confirmed_baseline=confirmed.get(START_LABEL, {}),
            )
    return found


def write_confirmation(
    folder: Path, confirmation: Confirmation, measurements: Sequence[Measurement]
) -> None:
    """Write ``confirm.json``, and ``confirm.parquet`` with a row for each number.

    The column ``images`` says how often each test image was classified correctly: 0 or 1, or a
    share in a mean over attacks; null where only the number is known.
    """
    written = {"schema_version": 1, **asdict(confirmation)}
    replace_text(folder / RESULT_FILE, json.dumps(written, indent=2, allow_nan=False) + "\n")
    schema = pa.schema(
        [
            ("configuration", pa.string()),
            ("seed", pa.int64()),
            ("split", pa.string()),
            ("measure", pa.string()),
            ("value", pa.float64()),
            ("images", pa.list_(pa.float32())),
        ],
        metadata={"schema_version": "1"},
    )
    columns = {name: [getattr(m, name) for m in measurements] for name in schema.names}
    write_table(pa.table(columns, schema=schema), folder / MEASUREMENTS_FILE)


def read_validation(sweep_folder: Path) -> dict[str, dict[str, Spread]]:
    """Read how configurations spread over the new seeds on validation images.

    Returns:
        Configuration to metric to spread; empty where nothing was confirmed.

    Raises:
        ConfigError: The file is damaged.
    """
    file = sweep_folder / CONFIRMATIONS_FOLDER / MEASUREMENTS_FILE
    if not file.is_file():
        return {}
    values: defaultdict[str, defaultdict[str, list[float]]]
    values = defaultdict(lambda: defaultdict(list))
    with _whole(file):
        for row in pq.read_table(file).to_pylist():
            if row["split"] == "val":
                values[row["configuration"]][row["measure"]].append(float(row["value"]))
    return {
        name: {measure: spread(found) for measure, found in own.items()}
        for name, own in values.items()
    }


def read_confirmation(sweep_folder: Path) -> Confirmation | None:
    """Read the last confirmation of a sweep; None where there is none.

    Raises:
        ConfigError: The file is damaged.
    """
    file = sweep_folder / CONFIRMATIONS_FOLDER / RESULT_FILE
    if not file.is_file():
        return None
    with _whole(file):
        read: dict[str, Any] = read_json(file)
        read.pop("schema_version")
        return Confirmation(
            **{
                **read,
                "seeds": tuple(read["seeds"]),
                "configurations": tuple(read["configurations"]),
                "test": _spreads(read["test"]),
                "standings": {name: FrontStanding(**s) for name, s in read["standings"].items()},
                "gains": _spreads(read.get("gains", {})),
                "luck": {
                    name: {metric: Luck(**each) for metric, each in own.items()}
                    for name, own in read["luck"].items()
                },
            }
        )


def _spreads(read: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Spread]]:
    return {
        name: {measure: Spread(**each) for measure, each in own.items()}
        for name, own in read.items()
    }


@contextmanager
def _whole(file: Path) -> Iterator[None]:
    """Say of a file of results that cannot be read how it comes back."""
    try:
        yield
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        pa.ArrowException,
    ) as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"{file} is damaged ({cause}): python -m sweeps.confirm writes it anew, without "
            "training what is trained"
        ) from error
