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
    data = spec.trial_config().data
    assert data.cache_dir is not None
    return prepare(
        data.name,
        root=data.root,
        image_size=data.image_size,
        cache_dir=data.cache_dir,
        seed=data.split_seed,
        val_fraction=data.val_fraction,
        pixel=data.pixel,
    )
