"""Mask values: how `data.mask_values` names what is the object in the files of masks."""

from __future__ import annotations

import re
from typing import NamedTuple

MaskValues = tuple[int | str, ...]
"""Grey levels or palette indices (`1`), ranges (`128-255`), colours (`#800000`), `alpha`."""

ALPHA = "alpha"
_RANGE = re.compile(r"(\d+)-(\d+)")
_COLOUR = re.compile(r"#([0-9a-fA-F]{6})")


class NamedValues(NamedTuple):
    """What `data.mask_values` names.

    Attributes:
        ranges: Levels or indices, ends included.
        colours: As 0xRRGGBB.
        alpha: Whether what is not transparent is the object.
    """

    ranges: tuple[tuple[int, int], ...]
    colours: frozenset[int]
    alpha: bool


def read_mask_values(values: MaskValues) -> NamedValues:
    """Read the field.

    Raises:
        ValueError: An item is none of the forms; the message is the item.
    """
    ranges: list[tuple[int, int]] = []
    colours: set[int] = set()
    alpha = False
    for value in values:
        text = str(value)
        if text.isdecimal() and int(text) <= 65535:
            ranges.append((int(text), int(text)))
        elif found := _RANGE.fullmatch(text):
            ranges.append((int(found[1]), int(found[2])))
        elif found := _COLOUR.fullmatch(text):
            colours.add(int(found[1], 16))
        elif text == ALPHA:
            alpha = True
        else:
            raise ValueError(text)
    return NamedValues(tuple(ranges), frozenset(colours), alpha)


def mask_values_rule(values: MaskValues | None) -> tuple[bool, str]:
    """Make the rule that the field is null, or names something."""
    said = "mask_values is"
    advice = "use levels or indices as 1, ranges as 128-255, colours as '#800000', or alpha"
    if values is None:
        return True, ""
    if not values:
        return False, f"{said} []: {advice}, or null where the masks tell"
    try:
        read = read_mask_values(values)
    except ValueError as error:
        return False, f"{said} {list(values)}: {error} is none of its values; {advice}"
    for first, last in read.ranges:
        if first > last:
            return False, f"{said} {list(values)}: {first}-{last} ends before it begins"
    return True, ""
