"""Workers that decode: how many at a time, and in what."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from hsplid_core.errors import ConfigError

_MAX_USEFUL_THREADS = 4


def n_cores() -> int:
    """Cores that this process may use: affinity, a container's quota and a SLURM job count."""
    from joblib import cpu_count  # takes as long as a help text

    allotted = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE") or ""
    found: int = cpu_count()
    return min(found, int(allotted)) if allotted.isdecimal() else found


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What decodes a data set.

    Attributes:
        kind: `threads` share this process and start at once; Pillow's decoders release Python's
            lock. `processes` cost seconds to start and then use every core fully.
        count: How many, at least 1; by default one for each core up to where threads gain.
    """

    kind: Literal["threads", "processes"] = "threads"
    count: int = field(default_factory=lambda: min(n_cores(), _MAX_USEFUL_THREADS))

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"workers is {self.count}: use at least 1")

    @classmethod
    def for_many_images(cls, count: int) -> Workers:
        """Choose the kind for a build that is long enough to start processes.

        Of a COCO image at 224 pixels a fifth of the time (opening it, uniting its masks) holds
        Python's lock, so that threads gain nothing beyond five cores.

        Args:
            count: How many, at least 1.
        """
        return cls(kind="processes" if count > _MAX_USEFUL_THREADS else "threads", count=count)
