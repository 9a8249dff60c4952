"""Suites of attacks: which run, in which regions and at which radii, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hsplid_core.attacks import PGD, Attack, AutoAttack, Norm, Region, fgsm, find_region
from hsplid_core.config import check
from hsplid_core.errors import ConfigError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Threat:
    """Attacks on one region at some radii.

    Attributes:
        region: Pixels that may change: a name that `attacks.find_region` knows, or a region of
            one's own (`attacks.user_region`).
        epsilons: Radii in pixel units, ascending, at least one.
        attacks: Names and attacks, the cheap ones first; all of one norm and none targeted, for
            a robust accuracy counts what is led away from its class. Their own radii are
            replaced.

    Raises:
        ConfigError: A value is out of range or unknown.
    """

    region: str | Region
    epsilons: tuple[float, ...]
    attacks: tuple[tuple[str, Attack], ...]

    def __post_init__(self) -> None:
        find_region(self.region)
        names = [name for name, _ in self.attacks]
        aimed = [name for name, attack in self.attacks if attack.targeted]
        norms = {attack.norm for _, attack in self.attacks}
        check(
            [
                (bool(self.epsilons), "epsilons is empty: give at least one radius"),
                (
                    list(self.epsilons) == sorted(set(self.epsilons)),
                    f"epsilons is {self.epsilons}: give each radius once, in ascending order",
                ),
                (bool(names), "attacks is empty: give at least one"),
                (len(set(names)) == len(names), f"attacks are named {names}: use a name once"),
                (not aimed, f"attacks {aimed} are targeted: use their untargeted forms"),
                (
                    len(norms) <= 1,
                    f"attacks have the norms {sorted(norms)}: make a threat for each norm",
                ),
            ]
        )
        for epsilon in self.epsilons:
            for _, attack in self.attacks:
                attack.with_epsilon(epsilon)  # refuses a radius out of range

    @property
    def region_name(self) -> str:
        """Name of the region."""
        return find_region(self.region).name

    @property
    def norm(self) -> Norm:
        """Norm of the ball."""
        return self.attacks[0][1].norm


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Everything that one call of `evaluate_robustness` measures.

    Attributes:
        name: Its name.
        summary: What it is for.
        threats: What is attacked and how; each pair of region and norm once.
        max_images: Attack only so many images, the same for every seed; None attacks all.

    Raises:
        ConfigError: A value is out of range.
    """

    name: str
    summary: str
    threats: tuple[Threat, ...]
    max_images: int | None = None

    def __post_init__(self) -> None:
        kinds = [(threat.region_name, threat.norm) for threat in self.threats]
        check(
            [
                (bool(kinds), "threats is empty: give at least one"),
                (len(set(kinds)) == len(kinds), f"threats are {kinds}: use each pair once"),
                (
                    self.max_images is None or self.max_images >= 1,
                    f"max_images is {self.max_images}: use at least 1, or None for all",
                ),
            ]
        )


def find_suite(name: str, *, or_else: Sequence[str] = ()) -> Suite:
    """Look a suite up by its name.

    Args:
        name: A key of :data:`SUITES`.
        or_else: What the caller takes besides, for the error to tell.

    Raises:
        ConfigError: There is none of that name.
    """
    suite = SUITES.get(name)
    if suite is None:
        names = sorted([*SUITES, *or_else])
        raise ConfigError(f"suite is {name!r}: use one of {names}{did_you_mean(name, names)}")
    return suite


def strengthened(suite: Suite) -> Suite:
    """Return a suite with the regions and radii of another, under the attacks of `standard`.

    Args:
        suite: The other one; how many images it attacks is not taken over.
    """
    attacks = {"linf": _STRONG_ATTACKS, "l2": _STRONG_ATTACKS_L2}
    return Suite(
        name=f"{suite.name}-strong",
        summary=f"regions and radii of {suite.name}, attacks of standard",
        threats=tuple(replace(each, attacks=attacks[each.norm]) for each in suite.threats),
    )


def _pixels(*values: int) -> tuple[float, ...]:
    return tuple(value / 255 for value in values)


_SMALLEST = 1 / 255  # a stand-in: a threat sets the radii

# No random start: with so few steps it costs one of them and helps no more than it harms.
_SEARCH_ATTACKS: tuple[tuple[str, Attack], ...] = (
    (
        "pgd",
        PGD(
            epsilon=_SMALLEST,
            steps=3,
            relative_step=0.5,
            random_start=False,
            iterate="first_fooling",
        ),
    ),
)
# The step is the published one whatever the radius, and the last iterate counts.
_PAPER_ATTACKS: tuple[tuple[str, Attack], ...] = (
    ("pgd", PGD(epsilon=_SMALLEST, steps=10, step_size=4 / 255)),
    ("aa_rand", AutoAttack(epsilon=_SMALLEST, version="rand", iterate="best")),
)
_FGSM: tuple[tuple[str, Attack], ...] = (("fgsm", fgsm(_SMALLEST)),)
_STRONG_PGD = PGD(epsilon=_SMALLEST, steps=20, relative_step=0.25, iterate="first_fooling")
_STRONG_ATTACKS: tuple[tuple[str, Attack], ...] = (
    ("pgd", _STRONG_PGD),
    ("aa_standard", AutoAttack(epsilon=_SMALLEST)),
)
_STRONG_ATTACKS_L2: tuple[tuple[str, Attack], ...] = (
    ("aa_standard", AutoAttack(epsilon=_SMALLEST, norm="l2")),
)
_PLUS_ATTACKS: tuple[tuple[str, Attack], ...] = (
    ("pgd", _STRONG_PGD),
    ("aa_plus", AutoAttack(epsilon=_SMALLEST, version="plus")),
)
_BLOCK, _BACKGROUND, _FULL = _pixels(25, 128, 255), _pixels(1, 2, 3), _pixels(1, 2)


def _by_region(attacks: tuple[tuple[str, Attack], ...]) -> tuple[Threat, ...]:
    """Attack each region of the paper's table with its radii."""
    return (
        Threat(region="block", epsilons=_BLOCK, attacks=attacks),
        Threat(region="background", epsilons=_BACKGROUND, attacks=attacks),
        Threat(region="full", epsilons=_FULL, attacks=attacks),
    )


SUITES: dict[str, Suite] = {
    "search": Suite(
        name="search",
        summary="a quick curve on the background, for use inside trials",
        # The two ends of the paper's curve: a radius costs as much as so many images more.
        threats=(Threat(region="background", epsilons=_pixels(1, 3), attacks=_SEARCH_ATTACKS),),
        max_images=32,  # costs under a quarter of an epoch of the demo
    ),
    "paper": Suite(
        name="paper",
        summary="Table 2 of H-SPLID (arXiv 2510.20627), weak steps and all",
        threats=_by_region(_PAPER_ATTACKS),
    ),
    "fgsm": Suite(
        name="fgsm",
        summary="one step along the gradient's sign, for tables of papers that print it",
        threats=_by_region(_FGSM),
    ),
    "standard": Suite(
        name="standard",
        summary="steps that suit the radius and AutoAttack's standard team",
        threats=(
            *_by_region(_STRONG_ATTACKS),
            Threat(region="full", epsilons=(0.25, 0.5), attacks=_STRONG_ATTACKS_L2),
        ),
    ),
    "plus": Suite(
        name="plus",
        summary="the same in L-infinity, by AutoAttack's larger team, for last doubts",
        threats=_by_region(_PLUS_ATTACKS),
    ),
}
"""All suites by name."""
