"""Plan of a confirmation: what is trained again, under which seeds, and as which study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsplid_core.config.analyses import ConfirmationConfig
from hsplid_core.errors import ConfigError
from hsplid_core.evaluation import find_suite
from hsplid_core.methods import CrossEntropyConfig
from sweeps.confirmation.statistics import CROSS_ENTROPY
from sweeps.fronts.selection import select
from sweeps.spec.moved_storage import CONFIRMATIONS_FOLDER, SPEC_FILE
from sweeps.spec.search_spec import ReplicatesSpec
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.spec.validation import validated
from sweeps.storage.bucket_mirror import shared_place
from sweeps.study.stored_sweep import StoredSweep
from trainables.config import ParameterValue
from trainables.confirmation import OWN_SUITE

_DEMO_IMAGES = 60
_METHOD = "cross_entropy"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One way to train that is confirmed.

    Attributes:
        name: What to call it.
        parameters: What it changes of the sweep's spec, by dotted path.
        searched: Its objectives in the search; None for the baseline.
        trial: Number of the trial that it comes from; None for the baseline.
        baseline: Name of the cross-entropy that it is compared with; None for the baseline.
    """

    name: str
    parameters: Mapping[str, ParameterValue]
    searched: tuple[float, ...] | None = None
    trial: int | None = None
    baseline: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a confirmation runs.

    Attributes:
        sweep: The sweep whose front is confirmed.
        spec: The sweep's spec, without search, with cross-entropy among its methods and with the
            test split's evaluation.
        configurations: What is trained under every seed.
        seeds: The seeds; none of them is one of the sweep's own.
    """

    sweep: StoredSweep
    spec: SweepSpec
    configurations: tuple[Configuration, ...]
    seeds: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """Where the results are."""
        return self.sweep.folder / CONFIRMATIONS_FOLDER

    @property
    def summary(self) -> str:
        """What it runs, in a sentence."""
        settings = self.spec.evaluation.confirmation
        assert settings is not None
        n_ways, n_seeds = len(self.configurations), len(self.seeds)
        images = "all" if settings.max_images is None else f"{settings.max_images}"
        return (
            f"{n_ways} configurations, seeds {', '.join(map(str, self.seeds))}: "
            f"{n_ways * n_seeds} trainings. Each model, and each pretrained start, is judged on "
            f"{images} test images by the suite {settings.suite}"
            f"{'' if settings.cascade else ', every cell on its own'}."
        )

    def seed_folder(self, seed: int) -> Path:
        """Where a seed's trials are; each suite has its own, as a model is judged at its end."""
        settings = self.spec.evaluation.confirmation
        assert settings is not None
        few = "" if settings.max_images is None else f"-{settings.max_images}"
        single = "" if settings.cascade else "-single"
        return self.folder / f"{self.sweep.name}-seed-{seed}-{settings.suite}{few}{single}"

    def seed_spec(self, seed: int) -> SweepSpec:
        """Return the spec that the trials of a seed run with."""
        return self.spec.model_copy(update={"seed": seed})


def make_plan(
    sweep: StoredSweep,
    *,
    n_seeds: int,
    first_seed: int | None = None,
    trials: Sequence[int] = (),
    suite: ConfirmationConfig,
) -> Plan:
    """Plan a confirmation.

    Args:
        sweep: The sweep; at least one of its trials is complete.
        n_seeds: Number of new seeds.
        first_seed: The first of them; None takes the one after the sweep's own, all of its
            replicates included.
        trials: Numbers of complete trials to confirm instead of the front.
        suite: How the test split is attacked.

    Raises:
        ConfigError: A trial is not complete, a seed is the sweep's own, or the folder does not say
            which spec it was run with, or the spec has values that cannot be trained with now.
    """
    spec = validated(sweep.spec.resolved(), source=str(sweep.folder / SPEC_FILE))
    first = spec.seeds[-1] + 1 if first_seed is None else first_seed
    seeds = tuple(range(first, first + n_seeds))
    if n_seeds < 1 or not set(spec.seeds).isdisjoint(seeds):
        raise ConfigError(
            f"seeds are {', '.join(map(str, seeds)) or 'none'}: give one or more, without the "
            f"sweep's own seed{'s' * (len(spec.seeds) > 1)} {', '.join(map(str, spec.seeds))}"
        )
    recipe = spec.recipe or "+".join(spec.method)
    chosen = [
        dataclasses.replace(c, parameters={"recipe": recipe, **c.parameters})
        for c in _chosen(sweep, trials)
    ]
    configurations = _with_baselines(chosen)
    return Plan(
        sweep=sweep,
        spec=_without_search(sweep, spec, suite, n_trials=len(configurations)),
        configurations=configurations,
        seeds=seeds,
    )


def _with_baselines(chosen: Sequence[Configuration]) -> tuple[Configuration, ...]:
    """Put before trials the cross-entropy of each: with its optimiser, network and data.

    Trials that differ in their methods alone share one.
    """
    kinds: dict[tuple[tuple[str, ParameterValue], ...], list[Configuration]] = {}
    for each in chosen:
        own = {k: v for k, v in each.parameters.items() if k.partition(".")[0] != "method"}
        kinds.setdefault(tuple(sorted({**own, "recipe": _METHOD}.items())), []).append(each)
    baselines, named = [], {}
    for parameters, trials in kinds.items():
        numbers = ", ".join(str(each.trial) for each in trials)
        several = f"{CROSS_ENTROPY} of trial{'s' if len(trials) > 1 else ''} {numbers}"
        name = several if len(kinds) > 1 else CROSS_ENTROPY
        baselines.append(Configuration(name=name, parameters=dict(parameters)))
        named.update({each.name: name for each in trials})
    return (*baselines, *(dataclasses.replace(c, baseline=named[c.name]) for c in chosen))


def make_suite(
    suite: str | None, max_images: int | None, *, is_demo: bool, cascade: bool = True
) -> ConfirmationConfig:
    """Say how models are judged: on demo data so that it takes minutes of a CPU, not hours.

    Args:
        suite: Name of an attack suite; None takes the standard one, on demo data the sweep's own
            radii.
        max_images: Attack only so many test images; None takes all, on demo data a few where no
            suite was named.
        is_demo: Whether the sweep's images are the stand-in.
        cascade: Whether attacks go on with survivors alone.

    Raises:
        ConfigError: There is no such suite, or the number of images is not positive.
    """
    name = suite or (OWN_SUITE if is_demo else "standard")
    if name != OWN_SUITE:
        find_suite(name, or_else=[OWN_SUITE])
    few = _DEMO_IMAGES if is_demo and suite is None else None
    return ConfirmationConfig(suite=name, max_images=max_images or few, cascade=cascade)


def _chosen(sweep: StoredSweep, trials: Sequence[int]) -> list[Configuration]:
    selection = select(sweep.records, sweep.objectives)
    complete = {record.number: record for record in selection.records if record.values}
    unknown = [number for number in trials if number not in complete]
    if unknown:
        raise ConfigError(
            f"trials {', '.join(map(str, unknown))} are not complete: choose among "
            f"{', '.join(map(str, sorted(complete)))}"
        )
    numbers = trials or [record.number for record in selection.front]
    if not numbers:
        raise ConfigError(f"{sweep.folder}: no trial is feasible, so there is no front")
    return [
        Configuration(
            name=f"trial {number}",
            parameters=complete[number].parameters,
            searched=complete[number].values,
            trial=number,
        )
        for number in numbers
    ]


def _without_search(
    sweep: StoredSweep, spec: SweepSpec, suite: ConfirmationConfig, *, n_trials: int
) -> SweepSpec:
    search = {"constraints": (), "replicates": ReplicatesSpec()}
    evaluation = dataclasses.replace(
        # At the end only: nothing on the way is looked at.
        spec.evaluation,
        every=max(1, spec.training.epochs),
        confirmation=suite,
    )
    return spec.model_copy(
        update={
            "method": {_METHOD: CrossEntropyConfig(), **spec.method},
            "recipe": spec.recipe or "+".join(spec.method),
            "evaluation": evaluation,
            # A model that collapses under a new seed counts as it is; and cross-entropy may not
            # even have the metrics that the search's limits are about.
            "search": spec.search.model_copy(update=search),
            "trials": n_trials,
            "storage": shared_place(sweep.folder.parent),
            "tracking": spec.tracking.model_copy(
                update={"experiment": spec.tracking.experiment or spec.name}
            ),
        }
    )
