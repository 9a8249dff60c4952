"""Results of claims: what the sweeps of their runs have brought, and the verdict on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hsplid_core.bucket_path import AnyPath
from sweeps.reproduction.rows import SCALES, Claim, ScaleName
from sweeps.reproduction.runs import StoredRun, stored_run
from sweeps.reproduction.verdicts import Finding, Verdict, findings_of, overall
from sweeps.study.resume_check import code_state


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """What is known of a claim at one scale.

    Attributes:
        name: The claim's name.
        claim: Its row.
        scale: How large.
        runs: Its sweeps, those that have trials.
        findings: Its numbers.
        notes: What stands against reading them as they are.
    """

    name: str
    claim: Claim
    scale: ScaleName
    runs: Mapping[str, StoredRun]
    findings: Sequence[Finding]
    notes: Sequence[str]

    @property
    def verdict(self) -> Verdict:
        """What the numbers decide; nothing where a note stands against them."""
        return "undecided" if self.notes else overall(self.findings)

    @property
    def says_something(self) -> bool:
        """Whether a number that decides has a value."""
        return any(finding.by_seed for finding in self.findings if finding.verdict is not None)

    @property
    def seeds(self) -> list[int]:
        """Seeds of all its trials."""
        return sorted({seed for run in self.runs.values() for seed in (*run.metrics, *run.failed)})

    @property
    def code(self) -> str | None:
        """The state of the code that all its runs were trained with; None for several."""
        states = {code_state(run.sweep.study) for run in self.runs.values()}
        return states.pop() if len(states) == 1 else None

    @property
    def is_demo(self) -> bool:
        """Whether its images are a stand-in."""
        return any(run.is_demo for run in self.runs.values())


def result_of(name: str, claim: Claim, scale: ScaleName, storage: AnyPath) -> ClaimResult | None:
    """Read what is known of a claim; None where no trial of it has begun.

    Args:
        name: Its name.
        claim: Its row.
        scale: How large.
        storage: Where the sweeps are.

    Raises:
        ConfigError: A study cannot be read.
    """
    found = {run: stored_run(name, claim, scale, run, storage) for run in claim.needed_runs}
    runs = {run: stored for run, stored in found.items() if stored is not None}
    if not runs:
        return None
    # A sweep of other values or data says nothing about the row as it stands.
    current = {run: stored.metrics for run, stored in runs.items() if stored.is_current}
    return ClaimResult(
        name=name,
        claim=claim,
        scale=scale,
        runs=runs,
        findings=findings_of(claim, current),
        notes=_notes(claim, runs),
    )


def _notes(claim: Claim, runs: Mapping[str, StoredRun]) -> list[str]:
    notes = [f"{run} has not run" for run in claim.needed_runs if run not in runs]
    for run, stored in runs.items():
        if not stored.is_current:
            notes.append(f"{run} was run with other values than the row has now; --fresh runs it")
        notes += [f"{run} failed under seed {seed}: {why}" for seed, why in stored.failed.items()]
    if len({stored.data_key for stored in runs.values()}) > 1:
        notes.append("its runs were trained on different data")
    if any(stored.is_demo for stored in runs.values()):
        notes.append("its images are a stand-in for the real data")
    return notes


def results_in(claims: Mapping[str, Claim], storage: AnyPath) -> list[ClaimResult]:
    """Read all claims that have trials in a storage, at all scales.

    Raises:
        ConfigError: A study cannot be read.
    """
    found = (
        result_of(name, claim, scale, storage)
        for name, claim in claims.items()
        for scale in SCALES
    )
    return [result for result in found if result is not None]
