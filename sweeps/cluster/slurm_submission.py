"""Submission of a sweep to SLURM: its checks, its batch script, and sbatch."""

from __future__ import annotations

import math
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hsplid_core.errors import ConfigError
from hsplid_core.files import make_folder, replace_text
from sweeps.cluster.job_client import JobError
from sweeps.cluster.slurm_queue import ask_slurm, sweep_jobs
from sweeps.cluster.slurm_script import SCRIPT_FILE, SlurmRequest, batch_script
from sweeps.search.checks import check_sweep
from sweeps.spec.cluster_spec import ResourcesSpec
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.registry import SWEEPS
from sweeps.spec.sweep_spec import SweepSpec, absolute
from sweeps.storage.local_disk import is_local
from sweeps.study.study import sweep_folder

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class SlurmSweep:
    """A sweep that SLURM can be asked to run.

    Attributes:
        spec: Its spec, overrides included.
        folder: The sweep's folder, absolute.
        arguments: Those of ``sweeps.run``.
        fresh: Whether it begins another study.
    """

    spec: SweepSpec
    folder: Path
    arguments: tuple[str, ...]
    fresh: bool


def check_sweep_for_slurm(
    sweep: str, overrides: Sequence[str], flags: Sequence[str], *, fresh: bool
) -> SlurmSweep:
    """Check a sweep as ``sweeps.run`` will.

    Args:
        sweep: A registered name, or the path of a YAML file.
        overrides: As on the command line.
        flags: Flags of ``sweeps.run``, but for ``--fresh``.
        fresh: Begin another study.

    Raises:
        ConfigError: Something is wrong.
    """
    parsed = parse_overrides(overrides)
    spec = check_sweep(sweep, parsed).spec
    given = {override.path for override in parsed}
    own = [name for name in ("address", "num_cpus", "num_gpus") if f"cluster.{name}" in given]
    if own or spec.cluster.address is not None:
        raise ConfigError(
            f"cluster.{own[0] if own else 'address'} is given: a job has a Ray of its own; leave "
            "it out, and use --nodes, --cpus-per-task and --gpus-per-node"
        )
    if sweep not in SWEEPS:
        sweep = str(absolute(Path(sweep)))
    kept = [
        text
        for text, override in zip(overrides, parsed, strict=True)
        if override.path != "storage"
    ]
    storage = absolute(spec.storage) if isinstance(spec.storage, Path) else spec.storage
    return SlurmSweep(
        spec=spec,
        folder=sweep_folder(absolute(spec.local_storage), spec.name, fresh=fresh),
        arguments=(sweep, *kept, f"storage={storage}", *flags),
        fresh=fresh,
    )


def cores_for(resources: ResourcesSpec, gpus: int) -> int:
    """Return the cores of a node that its GPUs keep busy, or that one trial takes without."""
    if isinstance(resources.gpu, float) and resources.gpu > 0:
        trials = max(1, int(gpus / resources.gpu))
    else:
        trials = max(1, gpus)
    return max(1, math.ceil(trials * resources.cpu))


def check_request(spec: SweepSpec, request: SlurmRequest) -> None:
    """Refuse a job on whose nodes not even one trial fits.

    Raises:
        ConfigError: None does.
    """
    gpu = 0.0 if spec.resources.gpu == "auto" else spec.resources.gpu
    asked = {"cpu": request.cpus_per_task, "gpu": request.gpus}
    option = {"cpu": "--cpus-per-task", "gpu": "--gpus-per-node"}
    for kind, need in (("cpu", spec.resources.cpu), ("gpu", gpu)):
        if need > asked[kind]:
            raise ConfigError(
                f"resources.{kind} is {need:g}, but a node of the job has {asked[kind]}: raise "
                f"{option[kind]}, or lower it"
            )


def script_of(sweep: SlurmSweep, request: SlurmRequest) -> str:
    """Write the batch script of a sweep."""
    return batch_script(
        request,
        name=sweep.spec.name,
        folder=sweep.folder,
        arguments=sweep.arguments,
        here=Path.cwd(),
        programs=Path(sys.executable).parent,
        fresh=sweep.fresh,
        has_files=isinstance(sweep.spec.storage, Path),
    )


def submit(sweep: SlurmSweep, request: SlurmRequest) -> str:
    """Write the batch script into the sweep's folder, and submit it.

    Returns:
        The job's number.

    Raises:
        ConfigError: There is no SLURM here, or the nodes cannot see what the sweep names.
        JobError: A job runs this sweep already, or sbatch refuses; then nothing is left.
    """
    check_nodes_see(sweep.spec, _other_hosts(request.partition))
    for job in sweep_jobs()[0]:
        if job.folder == sweep.folder and not job.has_ended:
            raise JobError(
                f"job {job.number} has this sweep already ({job.status}): python -m sweeps.jobs "
                f"logs {job.number} --follow --slurm shows it, stop instead of logs ends it"
            )
    script = sweep.folder / SCRIPT_FILE
    is_new = not sweep.folder.exists()
    make_folder(sweep.folder, "storage", mode=0o700)
    before = script.read_text(encoding="utf-8") if script.exists() else None
    replace_text(script, script_of(sweep, request))
    try:
        return ask_slurm("sbatch", "--parsable", str(script)).strip().partition(";")[0]
    except BaseException:
        if before is None:
            script.unlink()
        else:
            replace_text(script, before)
        if is_new:
            with suppress(OSError):
                sweep.folder.rmdir()
        raise


def check_nodes_see(spec: SweepSpec, others: Sequence[str]) -> None:
    """Refuse what is on this machine alone, and warn of what may be.

    Args:
        spec: The sweep.
        others: Nodes on other machines.

    Raises:
        ConfigError: The storage, the data or a server is where no other machine sees it.
    """
    if not others:
        return
    some = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
    for field, place in (("storage", spec.storage), ("data.root", spec.data.root)):
        if not isinstance(place, Path):
            continue
        place = absolute(place)
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        if any(place.is_relative_to(folder) for folder in _of_this_machine()):
            raise ConfigError(
                f"{field} is {place}, in a folder that each machine has for itself: the nodes "
                f"({some}) would not find it; name one that they share"
            )
        if is_local(there):
            sys.stderr.write(
                f"warning: {field} is {place}, on a disk of this machine: the nodes ({some}) must "
                "have it under the same path\n"
            )
    for field, address in (
        ("tracking.uri", spec.tracking.uri),
        ("study.storage", spec.study.storage),
    ):
        if address is not None and urlsplit(address).hostname in _LOOPBACK:
            raise ConfigError(
                f"{field} is {address}, which on a node is the node itself: name this machine "
                f"({socket.gethostname()}) as the nodes know it"
            )


def _of_this_machine() -> Iterator[Path]:
    for folder in ("/tmp", "/var/tmp", "/dev/shm", tempfile.gettempdir()):
        yield Path(folder)


def _other_hosts(partition: str | None) -> list[str]:
    """Name the nodes that are not this machine."""
    which = [] if partition is None else [f"--partition={partition}"]
    hosts = set(ask_slurm("sinfo", "--noheader", "--Node", "--format=%n", *which).split())
    here = socket.gethostname()
    return sorted(hosts - {here, here.partition(".")[0], "localhost"})
