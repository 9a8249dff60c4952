"""Claims of papers as rows of data: the sweep behind each, its numbers, what counts as reproduced.

The rows of this package are in ``sweeps/specs/claims.yaml``; a claim is added by adding a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from hsplid_core.errors import ConfigError, did_you_mean
from sweeps.spec.cluster_spec import SpecSection
from sweeps.spec.yaml_reader import read_mapping

CLAIMS_FILE = Path(__file__).parent.parent / "specs" / "claims.yaml"
ScaleName = Literal["paper", "small"]
SCALES: tuple[ScaleName, ...] = get_args(ScaleName)
_ClaimName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]  # in its sweeps' names


class Measured(SpecSection):
    """A metric of one of the claim's runs.

    Attributes:
        run: Name of the run.
        metric: Name of a metric in the last epoch of its trials.
    """

    run: str
    metric: str


class Number(SpecSection):
    """A number that the claim is about, computed seed by seed.

    Attributes:
        name: What it is, in words.
        run: Run whose metric is taken.
        metric: The metric.
        minus: What is taken off it; None for nothing.
        over: What it is divided by; None for nothing.
        percent: Whether it is a share of one, or a difference of two, and shown in percent.
        paper: The paper's value, as it would be computed here; None where it gives none.
        place: Where the paper or its release says so.
        above: Reproduced where the interval lies above this; or None.
        below: Reproduced where the interval lies below this; or None.
    """

    name: str = Field(min_length=1)
    run: str
    metric: str
    minus: Measured | None = None
    over: Measured | None = None
    percent: bool = False
    paper: float | None = None
    place: str = ""
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _is_decidable(self) -> Self:
        low, high = self.above, self.below
        if low is not None and high is not None and low >= high:
            raise ConfigError(
                f"above is {low:g}, not less than below, {high:g}: nothing is between"
            )
        if self.paper is not None and not self.place:
            raise ConfigError(f"paper is {self.paper:g}: say in place where the paper says so")
        return self

    @property
    def parts(self) -> Iterator[Measured]:
        """All metrics that it is computed from."""
        yield Measured(run=self.run, metric=self.metric)
        yield from (part for part in (self.minus, self.over) if part is not None)


class Scale(SpecSection):
    """How large the experiment is.

    Attributes:
        note: What it changes of the paper's, in a sentence.
        data: What ``data.root`` has to hold, where that is not what the claim says.
        overrides: Values of the sweep's spec by dotted path, in every run.
        runs: The same for single runs, by their names.
    """

    note: str = Field(min_length=1)
    data: str = ""
    overrides: dict[str, Any] = Field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Claim(SpecSection):
    """A claim of a paper.

    Attributes:
        paper: The paper.
        section: Where in it the claim is: a section, table or figure.
        claim: What it says, a sentence.
        data: What ``data.root`` has to hold.
        sweep: Name of the sweep, or its YAML file.
        runs_of: Name of the row whose runs these are, too, so that they are trained once; None
            for the claim's own.
        runs: What is trained: a name for each, and its values by dotted path. All else is the
            same in all of them.
        scales: ``paper`` and ``small``.
        numbers: What is computed of the trials; those with a limit decide.
        seen: What else was seen and tried, for whoever reads the table.
    """

    paper: str = Field(min_length=1)
    section: str = Field(min_length=1)
    claim: str = Field(min_length=1)
    data: str = Field(min_length=1)
    sweep: str
    runs_of: str | None = None
    runs: dict[str, dict[str, Any]] = Field(min_length=1)
    scales: dict[ScaleName, Scale]
    numbers: tuple[Number, ...] = Field(min_length=1)
    seen: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = [name for name in SCALES if name not in self.scales]
        if missing:
            raise ConfigError(f"scales has no {' and no '.join(missing)}: a claim has both")
        known = " or ".join(self.runs)
        for number in self.numbers:
            for part in number.parts:
                if part.run not in self.runs:
                    raise ConfigError(
                        f"run is {part.run} in the number {number.name!r}: use {known}"
                        f"{did_you_mean(part.run, self.runs)}"
                    )
        for scale, values in self.scales.items():
            for run in values.runs:
                if run not in self.runs:
                    raise ConfigError(
                        f"scales.{scale}.runs has {run}: use {known}{did_you_mean(run, self.runs)}"
                    )
        if all(number.above is None and number.below is None for number in self.numbers):
            raise ConfigError("numbers has none with above or below: nothing would decide")
        return self

    def data_at(self, scale: ScaleName) -> str:
        """What ``data.root`` has to hold at a scale."""
        return self.scales[scale].data or self.data

    @property
    def needed_runs(self) -> list[str]:
        """The runs that its numbers are computed from."""
        asked = {part.run for number in self.numbers for part in number.parts}
        return [run for run in self.runs if run in asked]


class _Rows(SpecSection):
    claims: dict[_ClaimName, Claim] = Field(min_length=1)


def read_claims(file: Path) -> Mapping[str, Claim]:
    """Read rows.

    Args:
        file: YAML, a claim by its name.

    Raises:
        ConfigError: The file cannot be read, or a row is wrong; one line for each fault.
    """
    rows = read_mapping(file)
    try:
        claims = _Rows.model_validate({"claims": rows}).claims
    except ValidationError as error:
        faults = [_line(each["loc"], each["msg"]) for each in error.errors()]
        raise ConfigError(f"{file}: " + "\n  ".join(faults)) from error
    for name, claim in claims.items():
        _check_shared(name, claim, claims)
    return claims


def _check_shared(name: str, claim: Claim, claims: Mapping[str, Claim]) -> None:
    """Refuse a row that shares the runs of one that has others, or that has none of its own."""
    if claim.runs_of is None:
        return
    owner = claims.get(claim.runs_of)
    if owner is None or owner.runs_of is not None:
        own = [each for each, row in claims.items() if row.runs_of is None]
        raise ConfigError(
            f"claim {name}: runs_of is {claim.runs_of}: use a claim with runs of its own"
            f"{did_you_mean(claim.runs_of, own)}"
        )
    for field in ("sweep", "runs", "scales"):
        if getattr(claim, field) != getattr(owner, field):
            raise ConfigError(
                f"claim {name}: runs_of is {claim.runs_of}, but {field} differs: take it over "
                "with a YAML anchor, or leave runs_of out"
            )


def _line(place: tuple[int | str, ...], text: str) -> str:
    path = ".".join(map(str, place[1:]))
    return f"{path}: {text.removeprefix('Value error, ')}"


def find_claim(name: str, claims: Mapping[str, Claim]) -> Claim:
    """Find a claim.

    Raises:
        ConfigError: There is none of that name; the message has the nearest.
    """
    if name not in claims:
        raise ConfigError(
            f"claim {name} is unknown: use one of {', '.join(claims)}"
            f"{did_you_mean(name, claims, cutoff=0.4)}"
        )
    return claims[name]
