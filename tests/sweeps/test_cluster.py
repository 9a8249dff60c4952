"""Joining and starting clusters. Everything across several nodes is in tests/docker."""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import ip_address

import pytest

from hsplid_core.errors import ConfigError
from sweeps.cluster import connected
from sweeps.spec import ClusterSpec

LISTENING = """\
import json, psutil
from sweeps.cluster import connected
from sweeps.spec import ClusterSpec
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
        ("ray://127.0.0.1:10001", "use HOST:PORT of the head"),
        ("http://127.0.0.1:8265", r"python -m sweeps\.submit"),
    ],
)
def test_an_address_that_cannot_be_joined_is_told(address: str, says: str) -> None:
    with (
        pytest.raises(ConfigError, match=rf"cluster\.address is {address}: .*{says}"),
        connected(ClusterSpec(address=address)),
    ):
        pass
