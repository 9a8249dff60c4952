"""A SLURM on this machine: a controller and nodes, each in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.docker.network import Namespaces
from tests.sweeps.ray_nodes import ROOT, kill_all

NEEDED = ("slurmctld", "slurmd", "munged", "ip", "nsenter", "unshare")
LOGIN = "login"

# No step's end waits for a cgroup, and SLURM looks at its jobs as often as it lets itself be told.
_CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={login}({address})
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=1,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=20
MinJobAge=3600
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL State=UP PriorityTier=9
"""
_NODE = "NodeName={name} NodeHostname={name} NodeAddr={address} CPUs={cpus} Gres=gpu:{gpus}\n"
# A machine has a name and a /tmp of its own, but for this checkout where that lies there.
_AS_HOST = f"""\
hostname "$0"
case {ROOT} in /tmp/*) mkdir -p "$1"/..{ROOT} && mount --bind {ROOT} "$1"/..{ROOT} ;; esac
mount --rbind "$1" /tmp && shift && exec "$@"
"""


@dataclass
class SlurmNodes:
    """A controller and nodes.

    Attributes:
        folder: What all share; below the home, for each node has a ``/tmp`` of its own.
        network: A namespace for each machine.
        names: Of the nodes.
    """

    folder: Path
    network: Namespaces
    names: Sequence[str]
    cpus: int = 4
    gpus: int = 2
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }

    def start(self) -> None:
        (self.folder / "state").mkdir()
        nodes = "".join(
            _NODE.format(
                name=name, address=self.network.address(name), cpus=self.cpus, gpus=self.gpus
            )
            for name in self.names
        )
        (self.folder / "slurm.conf").write_text(
            _CONFIGURATION.format(
                login=LOGIN, address=self.network.address(LOGIN), folder=self.folder, nodes=nodes
            )
        )
        # They are only counted, by files.
        for i in range(self.gpus):
            (self.folder / f"gpu{i}").touch()
        files = f"{self.folder}/gpu[0-{self.gpus - 1}]"
        (self.folder / "gres.conf").write_text(f"Name=gpu File={files}\n")
        self._start_munge()
        self._start(LOGIN, "slurmctld", "-D")
        for name in self.names:
            self.start_node(name)
        self.wait(
            lambda: self.ask("sinfo", "-h", "-N", "-o%t").split().count("idle") >= len(self.names)
        )

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir(mode=0o755)
        key = folder / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        files = [f"--{name}-file={folder}/{name}" for name in ("key", "pid", "log", "seed")]
        self._start(
            LOGIN, "munged", "--foreground", "--force", f"--socket={folder}/socket", *files
        )
        self.wait((folder / "socket").exists)

    def start_node(self, name: str) -> None:
        """Start a node's daemon, as at the node's boot."""
        (self.folder / f"spool-{name}").mkdir(exist_ok=True)
        self._start(name, "slurmd", "-D", "-N", name)

    def tmp(self, name: str) -> Path:
        """The node's own ``/tmp``."""
        return self.folder / name / "tmp"

    def _start(self, host: str, *command: str) -> None:
        # Unlike "ip netns exec" this keeps /sys, where SLURM wants to see control groups.
        into = ["nsenter", f"--net=/run/netns/{self.network.prefix(host)[-1]}"]
        own = ["unshare", "--mount", "--uts", "sh", "-c", _AS_HOST, host, str(self.tmp(host))]
        self.tmp(host).mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{host}-{command[0]}.out").open("ab") as output:
            process = subprocess.Popen(
                [*into, *own, *command],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.started[f"{host} {command[0]}"] = process

    def run(
        self, *command: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command where a user logs in."""
        return subprocess.run(
            [*self.network.prefix(LOGIN), *command],
            env={**self.environment, **environment},
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, *command: str) -> str:
        done = self.run(*command)
        return done.stdout if done.returncode == 0 else ""

    def job(self, number: str) -> dict[str, str]:
        """What SLURM says of a job."""
        told = self.ask("scontrol", "show", "job", number, "--oneliner")
        return dict(word.split("=", 1) for word in told.split() if "=" in word)

    def wait(self, reached: Callable[[], bool], limit_s: float = 60) -> None:
        deadline = time.monotonic() + limit_s
        while not reached():
            assert time.monotonic() < deadline, "SLURM does not get there"
            time.sleep(0.5)

    def processes(self, name: str) -> list[psutil.Process]:
        """Processes on a node besides its daemon."""
        return [
            process
            for process in self.network.processes(name)
            if process.name() not in ("slurmd", "unshare", "sh", "ip")
        ]

    def lose(self, name: str) -> None:
        """Lose a node with all its processes, at once and without warning."""
        kill_all(self.network.processes(name))
        self.started.pop(f"{name} slurmd").wait()

    def close(self) -> None:
        for process in self.started.values():
            process.terminate()
        for name in (*self.names, LOGIN):
            kill_all(self.network.processes(name))
        for process in self.started.values():
            process.wait()
        self.network.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def slurm_nodes(names: Sequence[str] = ("n1", "n2")) -> Iterator[SlurmNodes]:
    """Start a SLURM that ends with the block.

    Raises:
        OSError: There is no ``ip``.
        subprocess.CalledProcessError: The system allows no namespaces.
    """
    network = Namespaces((LOGIN, *names))
    nodes = SlurmNodes(Path(tempfile.mkdtemp(prefix="slurm-", dir=Path.home())), network, names)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.close()
