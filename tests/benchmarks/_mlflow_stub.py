"""A server that takes what MLflow's client sends, so many metrics a second, and keeps none.

python -m tests.benchmarks._mlflow_stub PORT METRICS_PER_SECOND
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Stub(ThreadingHTTPServer):
    """The server.

    Args:
        port: Of the loopback.
        rate: Metrics a second.

    Attributes:
        taken: Metrics so far.
    """

    daemon_threads = True

    def __init__(self, port: int, rate: float) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self._rate = rate
        self._lock = threading.Lock()
        self._runs = itertools.count()
        self.taken = 0

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a request to MLflow's REST interface."""
        if path == "taken":
            return 200, {"metrics": self.taken}
        if path == "experiments/get-by-name":
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
        if path == "experiments/create":
            return 200, {"experiment_id": "1"}
        if path == "experiments/get":
            return 200, {"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}}
        if path in ("runs/create", "runs/get"):
            run_id = body.get("run_id", f"{next(self._runs):032x}")
            info = {"run_id": run_id, "experiment_id": "1", "status": "RUNNING"}
            info["artifact_uri"] = f"mlflow-artifacts:/{run_id}"
            return 200, {"run": {"info": info, "data": {"tags": body.get("tags", [])}}}
        if path == "runs/log-batch":
            self._take(len(body.get("metrics", ())))
        return 200, {}

    def _take(self, metrics: int) -> None:
        with self._lock:
            time.sleep(metrics / self._rate)
            self.taken += metrics


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Stub

    def _handle(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_json = "json" in self.headers.get("Content-Type", "")
        body = json.loads(sent) if sent and is_json else {}
        path = self.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        status, answer = self.server.answer(path, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = _handle  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    Stub(int(sys.argv[1]), float(sys.argv[2])).serve_forever()
