"""Runs of a claim: each an ordinary sweep of one setting, whose trials differ by their seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsplid_core.bucket_path import AnyPath
from hsplid_core.errors import ConfigError
from sweeps.reproduction.rows import Claim, ScaleName
from sweeps.search.checks import CheckedSweep, check_sweep
from sweeps.spec.metric_names import check_metrics
from sweeps.spec.overrides import Override
from sweeps.storage.bucket_mirror import fetch_sweep, local_folder
from sweeps.study.location import holds_sweep
from sweeps.study.resume_check import spec_values
from sweeps.study.stored_sweep import StoredSweep, open_sweep
from sweeps.study.study import has_started, load_study, sweep_folder

# Every trial is a measurement, whatever it finds: none is searched, ended early or left out.
_ONLY_SEEDS: Mapping[str, Any] = {
    "search.space": "seeds",
    "search.sampler": "random",
    "search.scheduler": "none",
    "search.constraints": [],
}
# Stands for the folder of real data where a row is only looked at; without one, a sweep is a demo.
_SOME_ROOT = "data"


def sweep_name(name: str, claim: Claim, scale: ScaleName, run: str) -> str:
    """Name the sweep of a claim's run."""
    return f"claim-{claim.runs_of or name}-{scale}-{run}"


def checked_run(
    name: str,
    claim: Claim,
    scale: ScaleName,
    run: str,
    *,
    n_seeds: int,
    given: Sequence[Override] = (),
) -> CheckedSweep:
    """Return the sweep of a claim's run, checked as any other, with the metrics asked of it.

    Args:
        name: The claim's name.
        claim: Its row.
        scale: How large.
        run: Name of the run.
        n_seeds: Trials, a seed each.
        given: Values of the command line.

    Raises:
        ConfigError: A value is wrong, a number asks for what no trial measures, or the command
            line changes what the claim is about.
    """
    own = [Override(path, value) for path, value in _values(name, claim, scale, run).items()]
    if not any(override.path == "data.root" for override in given):
        own.append(Override("data.root", _SOME_ROOT))
    own.append(Override("trials", n_seeds))
    try:
        plain = check_sweep(claim.sweep, own)
        asked = {
            f"numbers.{number}.metric": part.metric
            for number, each in enumerate(claim.numbers)
            for part in each.parts
            if part.run == run
        }
        spec = plain.spec
        check_metrics(asked, list(spec.trial_config().methods), spec.data, spec.evaluation)
    except ConfigError as error:
        raise ConfigError(f"claim {name}, {scale} scale, run {run}: {error}") from error
    if not given:
        return plain
    checked = check_sweep(claim.sweep, [*own, *given])
    _refuse_other_values(plain, checked, given)
    return CheckedSweep(checked.spec, checked.space, plain.fixed)


def _values(name: str, claim: Claim, scale: ScaleName, run: str) -> dict[str, Any]:
    values = claim.scales[scale]
    return {
        "name": sweep_name(name, claim, scale, run),
        "description": f"{claim.paper}, {claim.section}: {run}",
        **_ONLY_SEEDS,
        **values.overrides,
        **claim.runs[run],
        **values.runs.get(run, {}),
    }


def _refuse_other_values(
    plain: CheckedSweep, checked: CheckedSweep, given: Sequence[Override]
) -> None:
    before, after = spec_values(plain.spec), spec_values(checked.spec)
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    for override in given:
        if any(path == override.path or path.startswith(f"{override.path}.") for path in changed):
            raise ConfigError(
                f"override {override.path}: it would change what the claim measures; set where "
                "the data lie and what the sweeps run on, or write a row of your own (--claims)"
            )


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """What the sweep of a claim's run has brought so far.

    Attributes:
        sweep: The sweep.
        metrics: The last epoch's metrics, by seed.
        failed: Why trials failed, by seed.
        is_current: Whether it was run with the row's values of today.
    """

    sweep: StoredSweep
    metrics: Mapping[int, Mapping[str, float]]
    failed: Mapping[int, str]
    is_current: bool

    def has(self, n_seeds: int) -> bool:
        """Tell whether nothing of so many seeds is left to run."""
        return self.is_current and len(self.metrics) + len(self.failed) >= n_seeds

    @property
    def data_key(self) -> str | None:
        """Content hash of its training images."""
        return None if self.sweep.info is None else self.sweep.info.data_key

    @property
    def is_demo(self) -> bool:
        """Whether its images are a stand-in."""
        return self.sweep.info is not None and self.sweep.info.is_demo


def stored_run(
    name: str, claim: Claim, scale: ScaleName, run: str, storage: AnyPath
) -> StoredRun | None:
    """Read the newest sweep of a claim's run; None where there is none yet.

    Raises:
        ConfigError: Its study or its spec cannot be read.
    """
    folder = _folder(sweep_name(name, claim, scale, run), storage)
    if folder is None or not has_started(load_study(folder)):
        return None
    sweep = open_sweep(str(folder))
    expected = checked_run(name, claim, scale, run, n_seeds=1).spec
    metrics, failed = {}, {}
    for record in sweep.records:
        seed = record.parameters.get("seed")
        if not isinstance(seed, int):
            continue
        if record.state == "complete":
            metrics[seed] = record.metrics
        elif record.state == "failed":
            failed[seed] = record.failure or "no message"
    return StoredRun(
        sweep=sweep,
        metrics=metrics,
        failed=failed,
        is_current=spec_values(sweep.spec) == spec_values(expected),
    )


def _folder(sweep: str, storage: AnyPath) -> Path | None:
    fetch_sweep(storage, sweep)
    folder = sweep_folder(local_folder(storage), sweep, fresh=False)
    return folder if holds_sweep(folder) else None
