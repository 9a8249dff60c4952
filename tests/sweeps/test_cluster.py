"""Joining and starting clusters. Most across several nodes is in tests/docker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import ray
from ray.tune.experiment import Trial as RayTrial

from hsplid_core.errors import ConfigError
from sweeps.cluster.connection import connected
from sweeps.cluster.shared_storage import SharedStorage
from sweeps.engine.study_searcher import StudySearcher
from sweeps.engine.tune_callbacks import TuneEvents
from sweeps.spec.sweep_spec import ClusterSpec
from sweeps.trials.checkpoint_files import SweepCheckpoints
from tests.sweeps.ray_nodes import RayNodes
from trainables.result_keys import ASSIGNMENT

LISTENING = """\
import json, psutil
from sweeps.cluster.connection import connected
from sweeps.spec.sweep_spec import ClusterSpec
with connected(ClusterSpec(num_cpus=1)):
    import ray
    ray.get(ray.remote(lambda: None).remote())
    here = psutil.Process()
    found = [
        (process.name(), connection.laddr.ip)
        for process in (here, *here.children(recursive=True))
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
print(json.dumps(found))
"""


@pytest.mark.cluster
def test_a_cluster_of_this_machine_listens_on_the_loopback_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTENING], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"gcs_server", "raylet"} <= {name for name, _ in found}
    addresses = {ip_address(ip.removeprefix("::ffff:")) for _, ip in found}
    assert all(address.is_loopback for address in addresses), found


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
def test_a_node_that_joins_late_is_looked_at_once(tmp_path: Path, nodes: RayNodes) -> None:
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
        nodes.start_without(storage)
        deadline = time.monotonic() + 120
        while len(ray.nodes()) < 2:
            assert time.monotonic() < deadline, "the node does not join"
            time.sleep(0.1)
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
