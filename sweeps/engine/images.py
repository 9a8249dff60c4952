"""Images of a sweep: the caches of its data set, built or opened."""

from __future__ import annotations

from collections.abc import Mapping

from hsplid_core.data import ImageSet, Split, prepare
from sweeps.spec.sweep_spec import SweepSpec


def prepare_images(spec: SweepSpec) -> Mapping[Split, ImageSet]:
    """Build or open the caches of a sweep's data set.

    Raises:
        DataError: The data set is missing or damaged.
    """
    return prepare(spec.trial_config().data)
