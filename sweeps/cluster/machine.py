"""Machine check: whether a sweep fits on this machine, told before anything is started."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import psutil
import torch

from hsplid_core.data.cache.node_copy import node_folder
from hsplid_core.data.workers import n_cores
from hsplid_core.errors import ConfigError
from sweeps.spec.sweep_spec import SweepSpec

_GIB = 2**30
# What PyTorch, Ray and one trial's process take before the first image.
_LEAST_MEMORY = 1 * _GIB
# Ray writes no more where a disk is nearly full, and nor could the study.
_LEAST_DISK = 1 * _GIB
# Each of Ray's servers has a few hundred connections and files open.
_LEAST_FILES = 1024
_ENOUGH_FILES = 65_536
# Of the 512 bytes that sqlite takes, less a sweep's name and those of its files.
_MOST_BYTES = 360


def check_machine(spec: SweepSpec) -> None:
    """Compare what a sweep asks for with what this machine has, where it starts a Ray here.

    Args:
        spec: The sweep; one on a running cluster is not looked at.

    Raises:
        ConfigError: Not even one trial fits; names all that is missing. Or the folder for caches
            of this machine is none here.
    """
    length = len(os.fsencode(spec.local_storage.absolute()))
    if length > _MOST_BYTES:
        raise ConfigError(
            f"storage is {spec.storage}, a path of {length} bytes: use one of at most "
            f"{_MOST_BYTES}, for sqlite takes no longer ones of the files in it"
        )
    if spec.cluster.address is not None:
        return
    faults = [*_missing_processors(spec), *_missing_space(spec.local_storage)]
    device = spec.training.device
    if device.startswith("cuda") and torch.cuda.device_count() == 0:
        faults.append(
            f"training.device is {device}, but PyTorch finds no GPU here: set it to auto"
        )
    if spec.data.node_cache is not None:
        node_folder(spec.data.node_cache)
    if faults:
        raise ConfigError(*faults)
    _raise_file_limit()


def _missing_processors(spec: SweepSpec) -> list[str]:
    cluster, resources = spec.cluster, spec.resources
    have = {"cpu": cluster.num_cpus, "gpu": cluster.num_gpus}
    found = {"cpu": n_cores(), "gpu": torch.cuda.device_count()}
    need = {"cpu": resources.cpu, "gpu": 0.0 if resources.gpu == "auto" else resources.gpu}
    faults = []
    for kind, amount in need.items():
        given = have[kind]
        limit = found[kind] if given is None else given
        if amount > limit:
            whose = "this machine has" if given is None else f"cluster.num_{kind}s is"
            faults.append(
                f"resources.{kind} is {amount:g}, but {whose} {limit:g}: lower it or give "
                "cluster.address of a larger cluster"
            )
    return faults


def _missing_space(storage: Path) -> list[str]:
    faults = []
    memory = psutil.virtual_memory().available
    if memory < _LEAST_MEMORY:
        faults.append(
            f"this machine has {memory / _GIB:.2f} GiB of memory left, and a sweep takes at least "
            f"{_LEAST_MEMORY / _GIB:g}: end other programs"
        )
    there = next(folder for folder in (storage, *storage.parents) if folder.exists())
    total, _, disk = shutil.disk_usage(there)
    # No disk at all is behind /proc and its like: why nothing can be made there is told by them.
    if total and disk < _LEAST_DISK:
        faults.append(
            f"storage is {storage}, whose disk has {disk / _GIB:.2f} GiB left, and a sweep takes "
            f"at least {_LEAST_DISK / _GIB:g}: make room, or name another storage"
        )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _ENOUGH_FILES if hard == resource.RLIM_INFINITY else hard
    if limit < _LEAST_FILES:
        faults.append(
            f"this process may open {limit} files, and Ray needs {_LEAST_FILES}: raise the limit "
            f"(ulimit -n {_ENOUGH_FILES})"
        )
    return faults


def _raise_file_limit() -> None:
    """Take as many open files as the system lets this process have: Ray asks for none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH_FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
