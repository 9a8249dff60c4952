"""A server that speaks S3, as a process: moto's, which keeps its buckets in memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests

from tests.sweeps.servers import free_port


@contextmanager
def s3_server(bucket: str) -> Iterator[Mapping[str, str]]:
    """Serve a bucket on the loopback.

    Yields:
        The environment of those who use it.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not _made(f"{address}/{bucket}"):
            assert process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        process.kill()
        process.wait()


def _made(url: str) -> bool:
    try:
        return requests.put(url, timeout=30).ok
    except requests.ConnectionError:
        return False
