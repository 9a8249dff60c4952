"""ImageNet's 1,000 classes by their WordNet ids, and their grouping into ImageNet-9's nine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import chain

Numbers = tuple[int | range, ...]

# Positions among the 1,000 classes in the order of their ids. From in_to_in9.json of
# https://github.com/MadryLab/backgrounds_challenge (370 classes; Xiao et al., arXiv 2006.09994).
_NINE: dict[str, Numbers] = {
    "dog": (range(151, 171), range(173, 269)),
    "bird": (range(7, 25), range(87, 101), range(127, 147)),
    "wheeled vehicle": (
        *(407, 408, 428, 436, 444, 468, 511, 547, 555, 561, 565, 569, 573, 586, 603, 609, 612),
        *(627, 656, 661, 665, 670, 671, 675, 690, 705, 717, 734, 751, 757, 791, 802, 803, 817),
        *(820, 829, 847, 864, 866, 867, 870, 880),
    ),
    "reptile": (range(33, 69),),
    "carnivore": (range(269, 281), range(286, 300), range(356, 363), range(387, 389)),
    "insect": (range(300, 327),),
    "musical instrument": (
        *(401, 402, 420, 432, 486, 494, 513, 541, 546, 558, 566, 577, 579, 593, 594, 641, 642),
        *(683, 684, 687, 699, 776, 822, 875, 881, 889),
    ),
    "primate": (range(365, 385),),
    "fish": (range(7), range(389, 398)),
}
NINE = tuple(_NINE)
"""ImageNet-9's classes in the order of their labels."""


@cache
def wordnet_ids() -> tuple[str, ...]:
    """Ids of ImageNet's 1,000 classes, in alphabetical order: the order of their labels."""
    asset = resources.files("hsplid_core.data") / "assets" / "imagenet_wnids.txt"
    return tuple(asset.read_text(encoding="ascii").split())


@cache
def groups_of_nine() -> dict[str, str]:
    """For the ids that belong to one of ImageNet-9's classes, the name of that class."""
    ids = wordnet_ids()
    return {ids[number]: name for name, parts in _NINE.items() for number in _flat(parts)}


def _flat(parts: Numbers) -> Iterator[int]:
    return chain.from_iterable((part,) if isinstance(part, int) else part for part in parts)
