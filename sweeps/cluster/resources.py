"""Resources of trials, compared with what the cluster has."""

from __future__ import annotations

import ray

from hsplid_core.errors import ConfigError
from sweeps.spec.cluster_spec import ResourcesSpec


def check_resources(resources: ResourcesSpec) -> int:
    """Compare what a trial asks for with what the connected cluster has.

    Returns:
        How many trials run at a time.

    Raises:
        ConfigError: Not even one trial fits.
    """
    total: dict[str, float] = ray.cluster_resources()
    have = {"cpu": total.get("CPU", 0.0), "gpu": total.get("GPU", 0.0)}
    # With auto, one trial has a GPU of its own at first; later ones may share it.
    gpu = min(1.0, have["gpu"]) if resources.gpu == "auto" else resources.gpu
    need = {"cpu": resources.cpu, "gpu": gpu}
    for kind, amount in need.items():
        if amount > have[kind]:
            raise ConfigError(
                f"resources.{kind} is {amount:g}, but the cluster has {have[kind]:g}: lower it or "
                "give cluster.address of a larger cluster"
            )
    slots = min(int(have[kind] // amount) for kind, amount in need.items() if amount)
    return min(slots, resources.max_concurrent or slots)
