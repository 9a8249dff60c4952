"""Running a claim: its sweeps one after the other, each as ``sweeps.run`` would run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hsplid_core.bucket_path import AnyPath
from hsplid_core.errors import ConfigError
from sweeps.reproduction.rows import Claim, ScaleName
from sweeps.reproduction.runs import checked_run, stored_run
from sweeps.search.checks import CheckedSweep
from sweeps.spec.overrides import Override
from sweeps.terminal.phase_lines import say_phase


@dataclass(frozen=True, kw_only=True)
class ClaimPlan:
    """What a claim's runs are.

    Attributes:
        name: The claim's name.
        claim: Its row.
        scale: How large.
        n_seeds: Trials of each run.
        runs: The sweep of each run by its name.
    """

    name: str
    claim: Claim
    scale: ScaleName
    n_seeds: int
    runs: dict[str, CheckedSweep]

    @property
    def storage(self) -> AnyPath:
        """Where the sweeps are, the same for all."""
        return next(iter(self.runs.values())).spec.storage


def planned(
    name: str, claim: Claim, scale: ScaleName, given: Sequence[Override], *, n_seeds: int
) -> ClaimPlan:
    """Check all runs of a claim before the first one starts.

    Args:
        name: The claim's name.
        claim: Its row.
        scale: How large.
        given: Values of the command line; ``data.root`` is among them.
        n_seeds: Trials of each run, a seed each.

    Raises:
        ConfigError: The real data are not named, or a run is wrong.
    """
    if not any(each.path == "data.root" and isinstance(each.value, str) for each in given):
        raise ConfigError(
            f"data.root is not given: claim {name} needs data.root=FOLDER with "
            f"{claim.data_at(scale)}"
        )
    runs = {
        run: checked_run(name, claim, scale, run, n_seeds=n_seeds, given=given)
        for run in claim.needed_runs
    }
    return ClaimPlan(name=name, claim=claim, scale=scale, n_seeds=n_seeds, runs=runs)


def run_planned(plan: ClaimPlan, *, fresh: bool, allow_changed: bool, json_lines: bool) -> bool:
    """Run what a claim still lacks.

    Args:
        plan: Its runs.
        fresh: Begin new studies beside those there are.
        allow_changed: Go on with studies that were begun with other code or data.
        json_lines: Report progress as JSON lines instead of text.

    Returns:
        Whether all have ended; False where the user stopped one.

    Raises:
        SaliencyError: As ``run_sweep`` has it.
    """
    for run, checked in plan.runs.items():
        stored = stored_run(plan.name, plan.claim, plan.scale, run, plan.storage)
        if not fresh and stored is not None and stored.has(plan.n_seeds):
            say_phase("Sweep", f"{checked.spec.name} has run", json_lines=json_lines)
            continue
        say_phase("Sweep", checked.spec.name, json_lines=json_lines)
        from sweeps.engine import run_sweep
        from sweeps.outputs.write_all import write_all

        outcome = run_sweep(
            checked.spec,
            fixed=checked.fixed,
            fresh=fresh,
            json_lines=json_lines,
            allow_changed=allow_changed,
            write_outputs=write_all,
        )
        if outcome is None or outcome.interrupted:
            return False
    return True
