"""Images of worse quality, and objects on other backgrounds.

Corruptions change the whole image or a region of it (`corrupt`), background swaps all but the
object. Pixels lie in [0, 1] before and after.
"""

from hsplid_core.corruptions.backgrounds import (
    blur_background,
    choose_donors,
    flatten_background,
    swap_background,
)
from hsplid_core.corruptions.corrupting import (
    CORRUPTIONS,
    SEVERITIES,
    Corruption,
    corrupt,
    find_corruption,
)

__all__ = [
    "CORRUPTIONS",
    "SEVERITIES",
    "Corruption",
    "blur_background",
    "choose_donors",
    "corrupt",
    "find_corruption",
    "flatten_background",
    "swap_background",
]
