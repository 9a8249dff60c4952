"""Optuna's samplers as a spec names them."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, create_trial

from hsplid_core.errors import ConfigError
from search_spaces import SWITCH_PREFIX, ParameterValue, optuna_parameters
from sweeps.search.ranged_space import described, space_of
from sweeps.search.space_probe import SpaceProbe, probe_space
from sweeps.spec.outside import find_outside
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.sweep_spec import SweepSpec

_TRIES = 20


class _Grid(BaseSampler):
    """Each point of a grid once, in an order that the seed shuffles.

    Optuna's GridSampler ties points to trials' numbers, so that none can be put first.

    Args:
        grid: Choices by parameter.
        first: The point to begin with, where the grid has it.
        seed: Seed of the order.
    """

    def __init__(
        self,
        grid: Mapping[str, Sequence[ParameterValue]],
        first: Mapping[str, ParameterValue],
        seed: int,
    ) -> None:
        self._space: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(choices) for name, choices in grid.items()
        }
        points = [
            dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
        ]
        random.Random(seed).shuffle(points)
        self._points = sorted(points, key=lambda point: not point.items() <= first.items())

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters of the grid."""
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the first point that no trial has; the first of all where all are taken."""
        taken = [other.params.items() for other in study.get_trials(deepcopy=False)]
        return next(
            (p for p in self._points if not any(p.items() <= other for other in taken)),
            self._points[0],
        )

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Refuse: a grid has all parameters of its space.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"the grid has no parameter {param_name}")


class _Tpe(optuna.samplers.TPESampler):
    """Optuna's TPE, which among a finite number of points asks for none a second time.

    A training with the same parameters and the same seed would only be repeated.
    """

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample again, a few times, what was sampled before."""
        found = super().sample_relative(study, trial, search_space)
        if found and not any(map(_is_continuous, search_space.values())):
            known = [other.params.items() for other in study.get_trials(deepcopy=False)]
            for _ in range(_TRIES):
                if not any(found.items() <= other for other in known):
                    break
                found = super().sample_relative(study, trial, search_space)
        return found


class _Taught(BaseSampler):
    """A sampler that also learns from trials of other studies.

    It is asked about a study in memory, which has these trials first and then the study's own, as
    they are at that moment.

    Args:
        sampler: The sampler, which keeps nothing of its own in a study.
        others: Complete trials of the same space.
    """

    def __init__(self, sampler: BaseSampler, others: Sequence[FrozenTrial]) -> None:
        self._sampler = sampler
        self._others = list(others)
        self._whole = optuna.create_study()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Put the study together, for with this every trial begins."""
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._whole = optuna.create_study(directions=study.directions)
        optuna.logging.set_verbosity(verbosity)
        self._whole.add_trials(self._others)
        self._whole.add_trials(map(_bare, study.get_trials(deepcopy=False)))
        return self._sampler.infer_relative_search_space(self._whole, self._there(trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Let the sampler choose."""
        return self._sampler.sample_relative(self._whole, self._there(trial), search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Let the sampler choose."""
        return self._sampler.sample_independent(
            self._whole, self._there(trial), param_name, param_distribution
        )

    def reseed_rng(self) -> None:
        """Let the sampler draw anew."""
        self._sampler.reseed_rng()

    def _there(self, trial: FrozenTrial) -> FrozenTrial:
        return self._whole.get_trials(deepcopy=False)[len(self._others) + trial.number]


def _bare(trial: FrozenTrial) -> FrozenTrial:
    """Return what a sampler looks at of a trial, without tables that would be copied, too."""
    return create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
        constraints=trial.constraints,
    )


def _is_continuous(distribution: BaseDistribution) -> bool:
    return (
        isinstance(distribution, FloatDistribution)
        and distribution.step is None
        and not distribution.single()
    )


def _tpe(search: SearchSpec, seed: int) -> BaseSampler:
    return _Tpe(
        seed=seed,
        multivariate=True,
        group=True,
        constant_liar=True,
        n_startup_trials=search.startup_trials,
    )


def _nsga2(search: SearchSpec, seed: int) -> BaseSampler:
    population = max(2, search.startup_trials)
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=population)


def _nsga3(search: SearchSpec, seed: int) -> BaseSampler:
    population = max(2, search.startup_trials)
    return optuna.samplers.NSGAIIISampler(seed=seed, population_size=population)


def _gp(search: SearchSpec, seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=search.startup_trials)


def _qmc(search: SearchSpec, seed: int) -> BaseSampler:
    # The sequence goes on by itself where a resumed study left it, so its seed must stay.
    return optuna.samplers.QMCSampler(
        scramble=True,
        seed=search.seed,
        independent_sampler=RandomSampler(seed=seed),
        warn_asynchronous_seeding=False,
        warn_independent_sampling=False,
    )


def _random(search: SearchSpec, seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


_SAMPLERS: dict[str, Callable[[SearchSpec, int], BaseSampler]] = {
    "tpe": _tpe,
    "nsga2": _nsga2,
    "nsga3": _nsga3,
    "gp": _gp,
    "qmc": _qmc,
    "random": _random,
}

LEARN_FROM_OTHERS = ("tpe", "gp")
"""Samplers that learn from all trials alike. Others draw by chance or by a fixed order, or breed a
population that they keep in the study itself."""


def build_sampler(
    spec: SweepSpec,
    fixed: Mapping[str, ParameterValue],
    *,
    n_trials: int,
    taught: Sequence[FrozenTrial] = (),
) -> BaseSampler:
    """Build the spec's sampler.

    Args:
        spec: The sweep.
        fixed: Config fields that are no longer searched, by dotted path.
        n_trials: Trials that the study holds already. They move the seed on, so that a resumed
            sweep does not draw the same random trials again.
        taught: Trials of other studies that it learns from, too, where it is one that does.
    """
    search = spec.search
    with experimental():
        if search.sampler == "grid":
            published = space_of(spec).first_trial(fixed) if search.paper_first else {}
            grid = grid_of(spec, fixed, probe_space(spec))
            sampler: BaseSampler = _Grid(grid, published, search.seed)
        elif search.sampler in _SAMPLERS:
            sampler = _SAMPLERS[search.sampler](search, search.seed + n_trials)
        else:
            sampler = outside_sampler(search.sampler, search.seed + n_trials)
        if taught and search.sampler in LEARN_FROM_OTHERS:
            sampler = _Taught(sampler, taught)
        return PartialFixedSampler(optuna_parameters(fixed), sampler) if fixed else sampler


def outside_sampler(text: str, seed: int) -> BaseSampler:
    """Make a sampler that is not of this package.

    Args:
        text: ``package.module:factory`` or ``path/to/file.py:factory``.
        seed: What the factory is called with.

    Raises:
        ConfigError: It is not there, cannot be called so, or makes something else.
    """
    factory = find_outside("search.sampler", text)
    try:
        made = factory(seed=seed)
    except (Exception, SystemExit) as error:
        # A person's own function: whatever it raises is an answer for that person.
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"search.sampler {text} fails: {reason}") from error
    if not isinstance(made, BaseSampler):
        raise ConfigError(
            f"search.sampler {text} makes a {type(made).__name__}: return a sampler of Optuna's"
        )
    return made


def grid_of(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue], space: SpaceProbe
) -> dict[str, tuple[ParameterValue, ...]]:
    """Return the choices of every parameter that a grid goes through.

    Args:
        spec: The sweep, whose sampler is ``grid``.
        fixed: Config fields that are no longer searched.
        space: What its space asks for.

    Raises:
        ConfigError: A parameter is a range, or the sweep has more trials than the grid points.
    """
    grid: dict[str, tuple[ParameterValue, ...]] = {}
    for name, distribution in space.distributions.items():
        if not isinstance(distribution, CategoricalDistribution):
            raise ConfigError(
                f"search.sampler is grid, but {described(spec)} suggests {name} from a "
                "range: use a space of choices, such as hsplid_grid, or another sampler"
            )
        if name.removeprefix(SWITCH_PREFIX) not in fixed:
            grid[name] = distribution.choices
    size = math.prod(len(choices) for choices in grid.values())
    if spec.trials > size:
        raise ConfigError(
            f"trials is {spec.trials}, but the grid of {described(spec)} has {size} points: use "
            "at most as many"
        )
    return grid


@contextmanager
def experimental() -> Iterator[None]:
    """Silence the warning about features that stayed experimental, unchanged, for years."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
