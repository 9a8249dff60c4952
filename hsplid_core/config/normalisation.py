"""Normalisation of pixels by means and deviations of their channels, as people write it down."""

from __future__ import annotations

import math

from hsplid_core.config.rules import Rule
from hsplid_core.errors import ConfigError

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, of pixels in [0, 1]."""

NORMALISATIONS: dict[str, Statistics] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5,), (0.5,)),
    "none": ((0.0,), (1.0,)),
}
"""What has a name; a single number counts for every channel."""

OF_DATA = "data"
"""Those of the data set, which only it knows."""


def parse_normalisation(
    text: str, channels: int | None = None, *, field: str = "normalise"
) -> Statistics:
    """Read a normalisation.

    Args:
        text: A name of `NORMALISATIONS`, or MEANS/DEVIATIONS such as ``0.5,0.5,0.5/0.2,0.2,0.2``.
        channels: How many channels there are; None where that is not known yet.
        field: Where the text stands, for errors.

    Returns:
        Mean and deviation of each channel.

    Raises:
        ConfigError: It is neither, or does not fit the channels.
    """
    if (known := NORMALISATIONS.get(text)) is not None:
        mean, std = known
    else:
        try:
            mean, std = (tuple(map(float, half.split(","))) for half in text.split("/"))
        except ValueError:
            raise ConfigError(
                f"{field} is {text}: use {', '.join(NORMALISATIONS)}, {OF_DATA}, or "
                "MEANS/DEVIATIONS such as 0.5,0.5,0.5/0.2,0.2,0.2"
            ) from None
    if channels is not None:
        mean, std = (values * channels if len(values) == 1 else values for values in (mean, std))
    n_channels = channels or len(mean)
    fits = len(mean) == len(std) == n_channels
    if not fits or not all(map(math.isfinite, mean)) or not 0 < min(std) <= max(std) < math.inf:
        raise ConfigError(
            f"{field} is {text}: give a mean and a deviation above 0 for each of {n_channels} "
            "channels"
        )
    return mean, std


def normalisation_rule(text: str | None) -> Rule:
    """Make the rule that a normalisation can be read, or is the data's; None is none."""
    try:
        if text not in (None, OF_DATA):
            parse_normalisation(text)
    except ConfigError as error:
        return False, error.faults[0]
    return True, ""
