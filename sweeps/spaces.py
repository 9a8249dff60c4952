"""Finding a search space by what a spec calls it."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hsplid_core.errors import ConfigError
from search_spaces import (
    SPACES,
    SWITCH_PREFIX,
    ParameterValue,
    SearchSpace,
    optuna_parameters,
)
from trainables.config import split_path

if TYPE_CHECKING:
    from sweeps.spec import SweepSpec

_TRIES = 20


def find_space(text: str) -> SearchSpace:
    """Find a search space.

    Args:
        text: A name in ``search_spaces.SPACES``, ``package.module:function``, or
            ``path/to/file.py:function``. What stands behind the colon is a function of an
            Optuna trial, or a :class:`SearchSpace` where there are published values.

    Raises:
        ConfigError: No such space, module, file or function.
    """
    if text in SPACES:
        return SPACES[text]
    source, colon, attribute = text.rpartition(":")
    if not colon:
        near = difflib.get_close_matches(text, SPACES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"space is {text!r}: use one of {', '.join(sorted(SPACES))}, "
            f"package.module:function or path/to/file.py:function{hint}"
        )
    found = getattr(_module(text, source), attribute, None)
    if found is None:
        raise ConfigError(f"space is {text!r}: {source} has no {attribute}")
    if not callable(found):
        raise ConfigError(f"space is {text!r}: {attribute} is no function of an Optuna trial")
    return found if isinstance(found, SearchSpace) else SearchSpace(found)


def check_space(spec: SweepSpec) -> tuple[str, ...]:
    """Try a space, so that a wrong name or range is told before a cluster starts.

    Args:
        spec: The sweep that searches the space.

    Returns:
        Names of the Optuna parameters that some random trials asked for, in their order.

    Raises:
        ConfigError: The space fails, sets a field that the sweep has not, or a value that the
            field refuses.
    """
    import optuna

    space, config = find_space(spec.search.space), spec.trial_config()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(spec.search.seed))
    optuna.logging.set_verbosity(verbosity)
    searched: dict[str, None] = {}
    values: Mapping[str, ParameterValue] = {}
    for _ in range(_TRIES):
        trial = study.ask()
        try:
            values = space(trial)
            config.with_parameters(values)
        except ConfigError as error:
            raise ConfigError(f"search.space {spec.search.space}: {error}") from error
        except Exception as error:
            # A person's own function: whatever it raises is an answer for that person.
            text = f"{type(error).__name__}: {error}"
            raise ConfigError(f"search.space {spec.search.space} fails: {text}") from error
        searched |= dict.fromkeys(trial.params)
    _refuse_other_networks(spec, searched)
    order = list(values)
    return tuple(sorted(searched, key=lambda name: _rank(order, name)))


def _refuse_other_networks(spec: SweepSpec, searched: Mapping[str, None]) -> None:
    """Pretrained weights fit one network only, so a search may not change it."""
    changed = [name for name in searched if name.startswith("model.")]
    if spec.pretrain is not None and changed:
        raise ConfigError(
            f"search.space {spec.search.space} searches {', '.join(changed)}, but pretrain is "
            f"{spec.pretrain}: its weights fit one network; set pretrain=null"
        )


def first_trials(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue]
) -> list[dict[str, ParameterValue]]:
    """Return what a new study tries before the sampler: published values, then the spec's own.

    Args:
        spec: The sweep.
        fixed: Config fields that are no longer searched.

    Returns:
        Optuna parameters of each; nothing for a space without published values, because only
        those name the fields that it sets.
    """
    space = find_space(spec.search.space)
    published = space.first_trials(fixed)
    # A grid has every point once already.
    if not published or spec.search.sampler == "grid":
        return []
    resolved = spec.resolved()
    own = {path: _lookup(resolved, path) for path in space.paper}
    trials = published if spec.search.paper_first else []
    return [*trials, optuna_parameters({**own, **fixed})]


def _lookup(values: Mapping[str, Any], path: str) -> ParameterValue:
    value: Any = values
    for key in split_path(path):
        value = value[key]
    found: ParameterValue = value
    return found


def _rank(order: Sequence[str], name: str) -> int:
    field = name.removeprefix(SWITCH_PREFIX)
    return order.index(field) if field in order else len(order)


def _module(text: str, source: str) -> ModuleType:
    try:
        return _load(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except (ImportError, OSError, SyntaxError) as error:
        raise ConfigError(f"space is {text!r}: cannot import {source}: {error}") from error


def _load(path: Path) -> ModuleType:
    """Import a file that belongs to no package, so that a space needs no installation."""
    resolved = path.expanduser().resolve(strict=True)
    name = f"_space_{resolved.stem}"
    found = importlib.util.spec_from_file_location(name, resolved)
    if found is None or found.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module
