"""Conditions of a study: spec, data, code and versions, and what of them has changed.

A sweep that goes on under other conditions mixes trials that cannot be compared. So a study keeps
what it was begun with, each item apart, and a difference can be told by name.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

import hsplid_core
import search_spaces
import trainables
from hsplid_core.errors import SaliencyError
from search_spaces import ParameterValue
from sweeps.search.space_probe import SpaceProbe
from sweeps.spec.find_space import find_space
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.study.provenance import package_versions

ORIGIN = "origin"
CHANGES = "origin_changes"
_SHOWN = 12

# What decides where and how long a sweep runs, and not what a trial finds. The data are compared
# by their content, wherever they lie.
_INDIFFERENT = (
    "name",
    "description",
    "data.root",
    "data.cache_dir",
    "data.node_cache",
    "data.on_device",
    "trials",
    "budget",
    "checkpoints",
    "resources",
    "cluster",
    "storage",
    "study",
    "tracking",
    "failures",
    "notify",
)

_CODE = (hsplid_core, trainables, search_spaces)


class StudyChangedError(SaliencyError):
    """A sweep would go on under other conditions than it was begun with."""


def origin_of(
    spec: SweepSpec, fixed: Mapping[str, ParameterValue], data_key: str
) -> dict[str, str]:
    """Describe what the trials of a sweep depend on.

    Args:
        spec: The sweep.
        fixed: Config fields that are no longer searched.
        data_key: Content hash of the training images.

    Returns:
        One entry an item, values as short texts: ``spec PATH``, ``fixed PATH``, ``data``,
        ``code FILE`` (a hash of its bytes) and ``version PACKAGE``.
    """
    return {
        **{f"spec {path}": value for path, value in spec_values(spec).items()},
        **{f"fixed {path}": json.dumps(value) for path, value in fixed.items()},
        "data": data_key,
        **{f"code {name}": digest for name, digest in _code_hashes(spec)},
        **{
            name.replace("version.", "version "): value
            for name, value in package_versions().items()
        },
    }


def spec_values(spec: SweepSpec) -> dict[str, str]:
    """Return what of a spec decides about what its trials find: JSON by the fields' dotted paths.

    Args:
        spec: The sweep.
    """
    return {
        path: json.dumps(value)
        for path, value in _leaves("", spec.resolved())
        if not any(path == name or path.startswith(f"{name}.") for name in _INDIFFERENT)
    }


def code_state(study: optuna.Study) -> str | None:
    """Name the state of the code that all trials of a study were trained with.

    Args:
        study: The study.

    Returns:
        Eight digits, the same for equal files of code; None where the code changed on the way.
    """
    changed = [line for change in study.user_attrs.get(CHANGES, []) for line in change["changes"]]
    if ORIGIN not in study.user_attrs or any(line.startswith("code ") for line in changed):
        return None
    files = [item for item in study.user_attrs[ORIGIN].items() if item[0].startswith("code ")]
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()[:8]


def default_items(spec: SweepSpec) -> set[str]:
    """Return the items of a spec's origin that hold the default of their field.

    Args:
        spec: The sweep.
    """
    own = {path for path, _ in _leaves("", spec.model_dump(mode="json", exclude_defaults=True))}
    return {f"spec {path}" for path, _ in _leaves("", spec.resolved()) if path not in own}


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield path, value
        return
    for key, below in value.items():
        yield from _leaves(f"{path}.{key}" if path else str(key), below)


def _code_hashes(spec: SweepSpec) -> Iterator[tuple[str, str]]:
    for package in _CODE:
        folder = Path(str(package.__file__)).parent
        for file in sorted(folder.rglob("*.py")):
            yield file.relative_to(folder.parent).as_posix(), _digest(file)
    # A person's own space, which lies in none of these packages.
    if spec.search.space is None:
        return
    suggest: Any = find_space(spec.search.space).suggest
    source = Path(inspect.getsourcefile(getattr(suggest, "func", suggest)) or "")
    if source.is_file() and Path(search_spaces.__file__).parent not in source.parents:
        yield f"of search.space, {source.name}", _digest(source)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def differences(
    before: Mapping[str, str], now: Mapping[str, str], defaults: Collection[str] = ()
) -> list[str]:
    """List what differs between two origins, one line an item.

    Args:
        before: What a study was begun with.
        now: What it would go on with.
        defaults: Items of ``now`` that hold a default, which changes nothing where the version
            before did not have the field.
    """
    lines = []
    for item in sorted(before.keys() | now.keys(), key=_rank):
        old, new = before.get(item), now.get(item)
        if old == new or (old is None and item in defaults):
            continue
        kind, _, name = item.partition(" ")
        if kind == "code":
            change = "is new" if old is None else "is gone" if new is None else "has changed"
            lines.append(f"code {name} {change}")
        elif kind == "fixed":
            ending = f"fixed at {new}" if new is not None else "searched again"
            lines.append(
                f"{name}: {'was searched' if old is None else f'fixed at {old}'}, now {ending}"
            )
        else:
            text = name or "content of the data"
            lines.append(f"{text}: {_shown(old)}, now {_shown(new)}")
    return lines


def _rank(item: str) -> tuple[int, str]:
    kinds = ("spec", "fixed", "data", "version", "code")
    return kinds.index(item.partition(" ")[0]), item


def _shown(value: str | None) -> str:
    return "not there" if value is None else value


def check_distributions(study: optuna.Study, space: SpaceProbe) -> None:
    """Refuse a space that one study cannot hold together with what its trials were drawn from.

    Optuna lets a range grow and shrink, but neither changes a parameter's choices nor its kind of
    scale, whoever allows it.

    Args:
        study: The study.
        space: What the space asks for now.

    Raises:
        StudyChangedError: A parameter's choices, kind or scale have changed.
    """
    before: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False):
        before |= trial.distributions
    changes = [
        f"{name} {change}"
        for name, now in space.distributions.items()
        if name in before and (change := _clash(before[name], now)) is not None
    ]
    if changes:
        raise StudyChangedError(
            f"the sweep {study.study_name} cannot go on with another space: {'; '.join(changes)}. "
            "Optuna keeps a parameter's choices, kind and scale for all of a study, so "
            "--allow-changed does not help: set the space back, or add --fresh (or another name=) "
            "to begin a new study"
        )


def _clash(before: BaseDistribution, now: BaseDistribution) -> str | None:
    if type(before) is not type(now):
        return f"was {_kind(before)}, now {_kind(now)}"
    if isinstance(before, CategoricalDistribution) and isinstance(now, CategoricalDistribution):
        if before.choices != now.choices:
            return f"had the choices {_listed(before)}, now {_listed(now)}"
    elif getattr(before, "log", False) != getattr(now, "log", False):
        return f"was on a {_scale(before)} scale, now on a {_scale(now)} one"
    return None


def _kind(distribution: BaseDistribution) -> str:
    kinds = {FloatDistribution: "a float", IntDistribution: "an integer"}
    return kinds.get(type(distribution), "a choice")


def _scale(distribution: BaseDistribution) -> str:
    return "logarithmic" if getattr(distribution, "log", False) else "linear"


def _listed(distribution: CategoricalDistribution) -> str:
    return ", ".join(map(json.dumps, distribution.choices))


def check_origin(
    study: optuna.Study,
    now: Mapping[str, str],
    *,
    allow_changed: bool,
    defaults: Collection[str] = (),
) -> None:
    """Compare a study's origin with today's; note it down for a new study.

    Args:
        study: The study.
        now: See :func:`origin_of`.
        allow_changed: Go on all the same, and note from which trial on.
        defaults: See :func:`default_items`.

    Raises:
        StudyChangedError: Something differs that is not allowed to.
    """
    before: Mapping[str, str] | None = study.user_attrs.get(ORIGIN)
    if before is None:
        study.set_user_attr(ORIGIN, dict(now))
        return
    changes = differences(before, now, defaults)
    if not changes:
        return
    trials = len(study.get_trials(deepcopy=False))
    if not allow_changed:
        shown = changes[:_SHOWN]
        if len(changes) > _SHOWN:
            shown.append(f"and {len(changes) - _SHOWN} more")
        raise StudyChangedError(
            f"the sweep {study.study_name} was begun under other conditions:\n  "
            + "\n  ".join(shown)
            + "\nadd --allow-changed to go on all the same, and compare the new trials with the "
            "old ones at your own risk; or --fresh to start another study beside it"
        )
    earlier = study.user_attrs.get(CHANGES, [])
    study.set_user_attr(CHANGES, [*earlier, {"from_trial": trials, "changes": changes}])
    study.set_user_attr(ORIGIN, dict(now))
