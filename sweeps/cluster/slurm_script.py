"""Batch script of a sweep on SLURM: what is asked for, and the text that sbatch takes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from hsplid_core.errors import ConfigError

SCRIPT_FILE = "slurm.sbatch"
JOB_PREFIX = "sweep-"
"""What a job's name begins with, before the sweep's."""

_TEMPLATE = "slurm_job.sh.j2"


@dataclass(frozen=True, kw_only=True)
class SlurmRequest:
    """What a job asks SLURM for; None leaves it to SLURM.

    Attributes:
        nodes: Nodes; with more than one, Ray runs on all of them.
        cpus_per_task: Cores of each node.
        gpus_per_node: GPUs of each node, as SLURM writes them: ``4`` or ``a100:4``.
        time: Limit of one job, as SLURM writes it: ``12:00:00``.
        partition: Partition.
        account: Account.
        options: Further options of sbatch, such as ``--mem=32G``.
        signal_min: Minutes before the limit at which the sweep stops.
        requeue: Whether a job that was cut off goes on in the queue.
    """

    nodes: int = 1
    cpus_per_task: int = 1
    gpus_per_node: str | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    options: Sequence[str] = ()
    signal_min: float = 3.0
    requeue: bool = True

    def __post_init__(self) -> None:
        for field, value in (("nodes", self.nodes), ("cpus-per-task", self.cpus_per_task)):
            if value < 1:
                raise ConfigError(f"--{field} is {value}: use at least 1")
        if self.gpus_per_node is not None:
            number = self.gpus_per_node.rpartition(":")[2]
            if not number.isdecimal():
                raise ConfigError(
                    f"--gpus-per-node is {self.gpus_per_node}: use a number, or a kind and a "
                    "number, as a100:4"
                )
        if self.signal_min < _LEAST_SIGNAL_MIN:
            raise ConfigError(
                f"--signal is {self.signal_min:g}: a sweep takes up to 20 s to stop, so use at "
                f"least {_LEAST_SIGNAL_MIN:g} minutes"
            )
        for option in self.options:
            if not option.startswith("-"):
                raise ConfigError(
                    f"--sbatch has {option}, which is no option: write each as --name=value, "
                    "such as --sbatch '--mem=32G --qos=long'"
                )

    @property
    def gpus(self) -> int:
        """GPUs of each node."""
        return int((self.gpus_per_node or "0").rpartition(":")[2])


_LEAST_SIGNAL_MIN = 0.5


def batch_script(
    request: SlurmRequest,
    *,
    name: str,
    folder: Path,
    arguments: Sequence[str],
    here: Path,
    programs: Path,
    fresh: bool,
    has_files: bool,
) -> str:
    """Write the batch script of a sweep.

    Args:
        request: What it asks for.
        name: The sweep's name.
        folder: The sweep's folder, absolute, where the script and the job's output are.
        arguments: Those of ``sweeps.run``, without the cluster's.
        here: The job's working directory.
        programs: Folder with ``python`` and ``ray``.
        fresh: Begin another study, the one of that folder.
        has_files: Whether checkpoints are files below the folder, and not in a bucket.
    """
    ray = f"num_gpus={request.gpus}" if request.nodes == 1 else 'address="$ip:$port"'
    template = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    ).from_string(resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        name=name,
        options=_options(request, name, folder, here),
        folder=shlex.quote(str(folder)),
        script=SCRIPT_FILE,
        programs=shlex.quote(str(programs)),
        arguments=shlex.join(arguments),
        added=f"cluster.{ray}",
        nodes=request.nodes,
        gpus=request.gpus,
        fresh=fresh,
        requeue=request.requeue,
        progress=has_files,
    )


def _options(request: SlurmRequest, name: str, folder: Path, here: Path) -> list[str]:
    """List what stands behind #SBATCH; of two that contradict each other SLURM takes the last."""
    output = str(folder).replace("%", "%%") + "/slurm-%j.out"
    wanted = {
        "job-name": JOB_PREFIX + name,
        "output": output,
        "open-mode": "append",
        "chdir": str(here),
        "nodes": request.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": request.cpus_per_task,
        "gpus-per-node": request.gpus_per_node,
        "time": request.time,
        "partition": request.partition,
        "account": request.account,
        "signal": f"B:USR1@{round(60 * request.signal_min)}",
    }
    options = [f"--{key}={value}" for key, value in wanted.items() if value is not None]
    options.append("--requeue" if request.requeue else "--no-requeue")
    return [_quoted(option) for option in (*options, *request.options)]


def _quoted(option: str) -> str:
    """Write an option as sbatch reads it from a script."""
    if not any(character in option for character in " \t\"'\\#"):
        return option
    key, separator, value = option.partition("=")
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}{separator}"{value}"'
