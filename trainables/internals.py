"""Ray's private parts that are used here, all of them, for want of a public way.

pyproject.toml has an upper bound for Ray, and a test finds each part where it is expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray import tune
    from ray.train._internal.storage import StorageContext

# Arguments of ray.init for a cluster that only this machine can reach.
LOCAL_NODE: Mapping[str, Any] = {"_node_ip_address": "127.0.0.1"}

# Name of a logger that tells of every upload.
PACKAGING_LOGGER = "ray._private.runtime_env.packaging"


@contextmanager
def loopback_only() -> Iterator[None]:
    """Let a cluster of this machine alone listen on the loopback only.

    By default Ray listens on all interfaces, even where its node's address is given as 127.0.0.1:
    it resolves that to the machine's own. The switch is the one it has for systems whose firewall
    would ask the user, and read when Ray is imported.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def storage_of(trainable: tune.Trainable) -> StorageContext | None:
    """Return where Ray Tune keeps a trial's checkpoints; None outside of Ray."""
    return trainable._storage
