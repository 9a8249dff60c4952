"""Mask rule: which values of mask files are the object, decided once for all masks of a data set.

Nothing in a mask's file says what its values mean. What they can mean follows from all masks
together:

- each mask has 0 and at most one other value (0/255, 0/1, one label, one colour on black): all
  but 0 is the object;
- soft edges (antialiased, resized, or saved as JPEG): above half of the brightest value;
- 1 and 2, with or without 3, and no 0: a trimap as Oxford-IIIT Pet has it (Parkhi et al., CVPR
  2012), object, background and border; the border counts as object, so that an attack on the
  background leaves it alone;
- an alpha channel that varies is the mask, as in cut-outs, unless the colours say otherwise.

All else is refused, for a wrong guess would be seen in no number: several labels, masks that look
inverted (the object along the frame, the background inside), and masks that are nearly all empty
or full. `data.mask_values` then says it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hsplid_core.config.mask_values import MaskValues, read_mask_values
from hsplid_core.data.coverage import Coverage
from hsplid_core.data.readers.mask_layers import MOST_COLOURS, Counts, Layers, count

# Objects of inverted masks lie along the frame. Of 600 pets, none of the masks has three quarters
# of its frame on the animal and less of its inside.
_INVERTED_FRAME = 0.75
# Of pixels, those of soft edges; of attention or probabilities, most lie between.
_MOST_BETWEEN = 0.4
_DARKEST_WHITE = 64

Meaning = Literal["not_0", "bright", "trimap"]


class LayerRule(NamedTuple):
    """What is the object in one layer.

    Attributes:
        meaning: All but 0; all from `threshold` on; all but the trimap's background.
        threshold: Of brightness.
    """

    meaning: Meaning
    threshold: int = 0

    def holds(self, values: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether values are the object."""
        background = 2 if self.meaning == "trimap" else 0
        held: NDArray[np.bool_] = (
            values >= self.threshold if self.meaning == "bright" else values != background
        )
        return held

    def __str__(self) -> str:
        return {
            "not_0": "all but 0 (or black) is the object",
            "bright": f"{self.threshold} and brighter is the object",
            "trimap": "a trimap, 1 is the object, 3 its border that counts as object too",
        }[self.meaning]


_NOT_0 = LayerRule("not_0")


class Look(NamedTuple):
    """What one mask holds: counts of its layers; see `Layers`.

    Attributes:
        raw: None of colours without a palette.
        codes: Of the object, 1, and the background, 0, where `data.mask_values` says it; of
            brightness where there are more than `MOST_COLOURS`.
        levels: Brightness of the codes.
        coloured: Whether codes are colours.
        alpha: None without an alpha channel.
        n_opaque: Values of what is opaque, each of 1% or more; 0 of photographs.
    """

    raw: Counts | None
    codes: Counts
    levels: Counts
    coloured: bool
    alpha: Counts | None
    n_opaque: int = 1


def look_at(layers: Layers, wanted: MaskValues | None) -> Look:
    """Count what a mask holds."""
    raw = None if layers.raw is None else count(layers.raw)
    if wanted is not None:
        codes = count(chosen(wanted, layers).astype(np.int64))
        return Look(raw or count(layers.levels), codes, codes, False, None)
    codes = count(layers.codes)
    levels = count(layers.levels) if layers.coloured else codes
    if layers.coloured and len(codes.values) > MOST_COLOURS:
        codes = levels
    alpha = None if layers.alpha is None else count(layers.alpha)
    return Look(raw, codes, levels, layers.coloured, alpha, _n_opaque(layers))


def chosen(wanted: MaskValues, layers: Layers) -> NDArray[np.bool_]:
    """Where a mask has one of the values that `data.mask_values` names, bool, [H, W]."""
    named = read_mask_values(wanted)
    found = np.zeros(layers.codes.shape, dtype=bool)
    if named.alpha and layers.alpha is not None:
        found |= layers.alpha >= 128
    if layers.raw is not None:
        for first, last in named.ranges:
            found |= (layers.raw >= first) & (layers.raw <= last)
    if named.colours:
        # Of grey, all channels are the level.
        colours = layers.codes if layers.coloured else layers.codes * 0x010101
        found |= np.isin(colours, list(named.colours))
    return found


def _n_opaque(layers: Layers) -> int:
    if layers.alpha is None:
        return 1
    opaque = layers.codes[layers.alpha >= 128]
    if not opaque.size:
        return 1
    _, pixels = np.unique(opaque, return_counts=True)
    return 0 if len(pixels) > MOST_COLOURS else int((pixels >= 0.01 * opaque.size).sum())


@dataclass(frozen=True, kw_only=True)
class MaskRule:
    """What is the object in the masks of a data set.

    Attributes:
        wanted: What `data.mask_values` says; None where the masks told.
        grey: Rule of grey levels; None where no mask is grey.
        colour: Rule of colours, likewise.
        alpha: Rule of the alpha channel, which then counts alone in masks that have one.
    """

    wanted: MaskValues | None = None
    grey: LayerRule | None = None
    colour: LayerRule | None = None
    alpha: LayerRule | None = None

    def object_in(self, layers: Layers) -> NDArray[np.bool_]:
        """Whether each pixel of a mask is the object, bool, [H, W]."""
        if self.wanted is not None:
            return chosen(self.wanted, layers)
        if self.alpha is not None and layers.alpha is not None:
            return self.alpha.holds(layers.alpha)
        rule = (self.colour if layers.coloured else self.grey) or _NOT_0
        return rule.holds(layers.levels if rule.meaning == "bright" else layers.codes)

    def __str__(self) -> str:
        if self.wanted is not None:
            return f"mask_values {list(self.wanted)} is the object"
        rules = {"alpha channels": self.alpha, "grey": self.grey, "colours": self.colour}
        return "; ".join(f"of {name} {rule}" for name, rule in rules.items() if rule is not None)

    def share(self, looks: Sequence[Look]) -> tuple[Coverage, float]:
        """How much of the masks is object, and how much of their frames."""
        shares, frames = [], []
        for look in looks:
            counts, holds = self._counts(look)
            shares.append(counts.pixels[holds].sum() / counts.pixels.sum())
            frames.append(counts.on_frame[holds].sum() / counts.on_frame.sum())
        return Coverage.of(np.array(shares)), float(np.mean(frames))

    def _counts(self, look: Look) -> tuple[Counts, NDArray[np.bool_]]:
        if self.wanted is not None:
            return look.codes, look.codes.values == 1
        if self.alpha is not None and look.alpha is not None:
            return look.alpha, self.alpha.holds(look.alpha.values)
        rule = (self.colour if look.coloured else self.grey) or _NOT_0
        counts = look.levels if rule.meaning == "bright" else look.codes
        return counts, rule.holds(counts.values)


def decide(looks: Sequence[Look], wanted: MaskValues | None) -> MaskRule:
    """Decide what is the object in the masks of a data set.

    Args:
        looks: Of all masks, of training and test images alike; at least one.
        wanted: What `data.mask_values` says.

    Raises:
        ValueError: It is not clear; the message says what the masks hold, and what to do.
    """
    if wanted is not None:
        rule = MaskRule(wanted=wanted)
        share, _ = rule.share(looks)
        if share.n_masks in (share.empty, share.full):
            kind = "empty" if share.empty else "full"
            raise ValueError(
                f"mask_values is {list(wanted)}, by which all {share.n_masks} masks are {kind}: "
                f"they hold {_held(looks)}; name those of the object"
            )
        return rule
    others, alpha = list(looks), None
    with_alpha = [look for look in looks if look.alpha is not None]
    if any(look.alpha is not None and len(look.alpha.values) > 1 for look in with_alpha):
        alpha = _of_alpha(with_alpha) or _raise_unclear(with_alpha)
        others = [look for look in looks if look.alpha is None]
    grey = [look for look in others if not look.coloured]
    coloured = [look for look in others if look.coloured]
    rule = MaskRule(
        grey=(_of_levels([look.codes for look in grey]) or _raise_unclear(grey)) if grey else None,
        colour=(_of_colours(coloured) or _raise_unclear(coloured)) if coloured else None,
        alpha=alpha,
    )
    _check_shares(rule, looks)
    return rule


def _raise_unclear(looks: Sequence[Look]) -> LayerRule:
    raise ValueError(
        f"it is not clear what is the object in the masks: they hold {_held(looks)}; name the "
        "object's values in mask_values"
    )


def _check_shares(rule: MaskRule, looks: Sequence[Look]) -> None:
    share, frame = rule.share(looks)
    if share.is_nearly_nothing:
        raise ValueError(
            f"{share.empty} of {share.n_masks} masks are empty and {share.full} full: they hold "
            f"{_held(looks)}; if that is meant, name the object's values in mask_values"
        )
    if frame >= _INVERTED_FRAME and frame > share.mean:
        raise ValueError(
            f"the masks look inverted, for {100 * frame:.0f}% of their frames would be object, "
            f"and {100 * share.mean:.0f}% of all: they hold {_held(looks)}; name the object's "
            "values in mask_values"
        )


def _held(looks: Sequence[Look]) -> str:
    """List the most frequent values of masks: levels, indices or colours, and how frequent."""
    pixels: Counter[str] = Counter()
    for look in looks:
        is_code = look.raw is None
        counts = look.codes if look.raw is None else look.raw
        as_colour = is_code and look.coloured and len(counts.values) <= MOST_COLOURS
        for value, n in zip(counts.values.tolist(), counts.pixels.tolist(), strict=True):
            pixels[f"#{value:06x}" if as_colour else str(value)] += n
    shown = pixels.most_common(6)
    text = ", ".join(f"{value} ({100 * n / pixels.total():.1f}%)" for value, n in shown)
    return text + (f" and {len(pixels) - len(shown)} more" if len(pixels) > len(shown) else "")


def _of_levels(counts: Sequence[Counts]) -> LayerRule | None:
    """Decide about levels, of grey or of alpha; None if that is not clear."""
    values = {int(value) for found in counts for value in found.values[:8]}
    n_values = max(len(found.values) for found in counts)
    if 0 in values and all(np.count_nonzero(found.values) <= 1 for found in counts):
        return _NOT_0
    if n_values <= 3 and {1, 2} <= values <= {1, 2, 3}:
        return LayerRule("trimap")
    if n_values == 1:  # all are full, which is refused later
        return _NOT_0
    return _of_soft_edges(counts)


def _of_soft_edges(counts: Sequence[Counts]) -> LayerRule | None:
    """Find dark and bright pixels with few between, of so many levels that none is a label."""
    pixels: Counter[int] = Counter()
    for found in counts:
        pixels.update(dict(zip(found.values.tolist(), found.pixels.tolist(), strict=True)))
    most, total = _white(pixels), pixels.total()
    dark = [value for value in pixels if value <= 0.1 * most]
    bright = [value for value in pixels if value >= 0.9 * most]
    between = {value: pixels[value] for value in pixels.keys() - {*dark, *bright}}
    # An edge lies at all levels, or JPEG's noise around black and white; a label lies at one.
    many = len(between) >= 4 or (len(dark) >= 4 and len(bright) >= 4)
    n_between = sum(between.values())
    bins: Counter[int] = Counter()
    for value, n in between.items():
        bins[7 * value // max(most, 1)] += n
    spread = n_between <= 0.02 * total or max(bins.values()) <= 0.6 * n_between
    few = n_between <= _MOST_BETWEEN * total
    if most >= _DARKEST_WHITE and dark and many and spread and few:
        return LayerRule("bright", (most + 1) // 2)
    return None


def _white(pixels: Counter[int]) -> int:
    """The level of what is bright: JPEG's noise goes beyond it, up to 255."""
    left = 0.1 * sum(n for value, n in pixels.items() if value >= _DARKEST_WHITE // 2)
    for value in sorted(pixels, reverse=True):
        left -= pixels[value]
        if left <= 0:
            return 255 if 250 <= value <= 255 else value
    return 0


def _of_alpha(looks: Sequence[Look]) -> LayerRule | None:
    """Decide about transparency; what is opaque must not hold several plain colours."""
    if any(look.n_opaque > 1 for look in looks):
        return None
    return _of_levels([look.alpha for look in looks if look.alpha is not None])


def _of_colours(looks: Sequence[Look]) -> LayerRule | None:
    """Decide about masks that are not grey."""
    black = any(look.codes.values[0] == 0 for look in looks)
    if black and all(np.count_nonzero(look.codes.values) <= 1 for look in looks):
        return _NOT_0
    if any(look.levels is look.codes for look in looks):
        return _of_soft_edges([look.levels for look in looks])
    return None
