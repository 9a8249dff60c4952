"""Joining and starting clusters. Most across several nodes is in tests/docker."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest
import ray
from ray.tune.experiment import Trial as RayTrial

from hsplid_core.errors import ConfigError
from sweeps.cluster import shared_storage
from sweeps.cluster.connection import ClusterError, connected
from sweeps.cluster.session_folder import session_folder, write_token
from sweeps.cluster.shared_storage import SharedStorage
from sweeps.engine.study_searcher import StudySearcher
from sweeps.engine.tune_callbacks import TuneEvents
from sweeps.spec.cluster_spec import ClusterSpec
from sweeps.trials.checkpoint_files import SweepCheckpoints
from tests.sweeps.ray_nodes import RayNodes
from trainables.result_keys import ASSIGNMENT

LOCAL = """\
import json, os, subprocess, sys, psutil
from pathlib import Path
from sweeps.cluster.connection import ClusterError, connected
from sweeps.spec.cluster_spec import ClusterSpec
with connected(ClusterSpec(num_cpus=1)):
    import ray
    context = ray.get_runtime_context()
    session = Path(ray.get(ray.remote(lambda: os.environ["RAY_AUTH_TOKEN_PATH"]).remote())).parent
    here = psutil.Process()
    listening = [
        (process.name(), connection.laddr.ip)
        for process in (here, *here.children(recursive=True))
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    stranger = subprocess.run(
        [sys.executable, "-c", sys.argv[1], context.gcs_address, str(session)],
        env={name: text for name, text in os.environ.items() if not name.startswith("RAY_")},
        capture_output=True, text=True,
    )
    inside = [str(path.relative_to(session)) for path in session.rglob("plasma_store")]
    needless = [
        part
        for process in here.children(recursive=True)
        for part in process.cmdline()
        if part.endswith(("monitor.py", "dashboard.py"))
    ]
print(json.dumps([listening, inside, needless, stranger.stdout, stranger.stderr]))
print(sorted(name for name in os.environ if name.startswith("RAY_AUTH")))
"""

# Another user of the machine, where we may become one: the interpreter itself may not be his.
STRANGER = """\
import os, sys
from ray._raylet import GcsClient
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    for path in (sys.argv[2], f"{sys.argv[2]}/token"):
        try:
            os.listdir(path)
        except OSError as error:
            print(error.strerror)
try:
    GcsClient(address=sys.argv[1]).internal_kv_put(b"key", b"value", True, None, timeout=5)
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_a_cluster_of_this_machine_is_for_its_user_alone(tmp_path: Path) -> None:
    left = Path(tempfile.mkdtemp(prefix="ray-"))
    (left / "sweep-killed").mkdir()
    (left / "sweep-killed" / "driver.lock").touch()
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOCAL, STRANGER],
            env={**os.environ, "RAY_TMPDIR": str(left)},
            capture_output=True,
            text=True,
            check=True,
        )
        # Neither this session's folder is left, nor that of a process that was killed.
        assert list(left.iterdir()) == []
    finally:
        shutil.rmtree(left)
    *_, told, variables = done.stdout.splitlines()
    listening, inside, needless, refused, log = json.loads(told)
    assert {"gcs_server", "raylet"} <= {name for name, _ in listening}
    addresses = {ip_address(ip.removeprefix("::ffff:")) for _, ip in listening}
    assert all(address.is_loopback for address in addresses), listening
    assert len(inside) == 1
    assert needless == []
    denied = ["Permission denied"] * 2 if os.getuid() == 0 else []
    assert refused.splitlines() == [*denied, "AuthenticationError"], log
    assert variables == "[]"


def test_a_place_for_sockets_is_looked_at_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "long/" * 8)
    with (
        pytest.raises(ConfigError, match=r"RAY_TMPDIR is /tmp/long.*44 bytes long.*at most 28$"),
        session_folder(),
    ):
        pass
    monkeypatch.setenv("RAY_TMPDIR", "/nowhere")
    with (
        pytest.raises(ConfigError, match=r"none can be made \(No such file.*set RAY_TMPDIR"),
        session_folder(),
    ):
        pass
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path)[:4])
    with session_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert write_token(folder).stat().st_mode & 0o777 == 0o600
        # A living session is left alone by the next one.
        with session_folder() as other:
            assert folder.is_dir()
            assert write_token(other).read_text() != (folder / "token").read_text()
    assert not folder.exists()


def test_a_ray_that_does_not_start_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def slow(*args: object, **settings: object) -> None:
        tried.append(settings["num_cpus"])
        raise Exception("The current node timed out during startup. This could\nhappen")  # Ray's

    monkeypatch.setattr(ray, "init", slow)
    with (
        pytest.raises(
            ClusterError, match=r"did not start .* twice \(The current node timed out .* could\)"
        ),
        connected(ClusterSpec(num_cpus=1)),
    ):
        pass
    assert tried == [1, 1]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", "no Ray cluster answers there"),
        ("nowhere.invalid:6379", "no Ray cluster answers there"),
    ],
)
def test_an_address_that_cannot_be_joined_is_told(address: str, says: str) -> None:
    with (
        pytest.raises(ConfigError, match=rf"cluster\.address is {address}: .*{says}"),
        connected(ClusterSpec(address=address)),
    ):
        pass


@pytest.mark.cluster
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("default")
def test_a_node_that_joins_late_is_looked_at_once(
    tmp_path: Path, nodes: RayNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "runs"
    storage.mkdir()
    hidden = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", str(storage)], check=False
    )
    if hidden.returncode:
        pytest.skip("needs mounts of its own, so root")
    nodes.start_head()
    with connected(ClusterSpec(address=nodes.address)):
        shared = SharedStorage(storage)
        shared.check()
        late = nodes.start_without(storage)
        deadline = time.monotonic() + 120
        while len(ray.nodes()) < 2:
            assert time.monotonic() < deadline, "the node does not join"
            time.sleep(0.1)
        # While it does not answer it is no node that lacks the storage, and is asked again.
        processes = [psutil.Process(late.pid), *psutil.Process(late.pid).children(recursive=True)]
        with monkeypatch.context() as impatient:
            impatient.setattr(shared_storage, "_ANSWER_S", 1.0)
            for process in processes:
                process.suspend()
            with pytest.raises(ConfigError, match=r"nodes .* do not answer, .*not known"):
                shared.check(patience_s=0)
            for process in processes:
                process.resume()
        searcher = SimpleNamespace(stop_reason=None, note_start=lambda trial: 1)
        checkpoints = SweepCheckpoints(folder=tmp_path, sweep_id=None)
        events = TuneEvents(cast(StudySearcher, searcher), checkpoints, [], shared)
        trial = SimpleNamespace(trial_id="x", config={ASSIGNMENT: {"number": 0, "parameters": {}}})
        # Its first trial tells; for the next ones nothing is left to look at.
        for _ in range(2):
            events.on_trial_start(0, [], cast(RayTrial, trial))
            says = rf"storage is {storage}, which not all nodes .* \([\d.]+: No such file or dir"
            assert re.match(says, str(searcher.stop_reason))
        assert shared.new_faults() is None
        assert list(storage.iterdir()) == []  # the probes are gone
