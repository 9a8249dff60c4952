"""The Python interface, used by a script without a main guard as by a notebook."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hsplid_core.errors import ConfigError
from sweeps import api
from tests.sweeps.whole_sweep import ROOT, Sweep

SCRIPT = """
import json, sys, time
from sweeps import api

sweep = api.load("tiny.yaml", "trials=2", {"training.epochs": 3, "method.hsplid.rho_s": 0.1})
run = sweep.start()
while "trial 0 starts" not in run.output and run.is_running:
    time.sleep(0.2)
run.stop()
try:
    run.wait()
    ended = "complete"
except api.SweepStoppedError:
    ended = "stopped"
results = sweep.run()
trials, front = results.trials(), results.front()
model = results.model(int(front.index[0]))
import torch

found = {
    "ended": ended,
    "states": list(trials["state"]),
    "rho": list(trials["param/method.hsplid.rho_s"]),
    "epochs": list(trials["metric/epoch"]),
    "front": [int(number) for number in front.index],
    "knee": results.knee(),
    "hypervolume": results.hypervolume(),
    "logits": list(model(torch.zeros(2, 3, 32, 32)).shape),
    "report": results.report().name,
}
sys.stderr.write(json.dumps(found))
"""


@pytest.mark.cluster
@pytest.mark.filterwarnings("default")
def test_a_script_runs_a_sweep_and_reads_it(sweep: Sweep) -> None:
    (sweep.folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=sweep.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stderr.splitlines()[-1])
    assert found["ended"] == "stopped"
    assert found["states"] == ["complete"] * 2
    assert found["rho"] == [0.1] * 2
    assert found["epochs"] == [3] * 2
    assert found["front"]
    assert found["hypervolume"] > 0
    assert found["logits"] == [2, 4]
    assert found["report"] == "report.html"
    assert "sweep finished: 2 complete" in done.stdout  # the second run shows how it goes


def test_what_is_wrong_is_told_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=r"training\.epochs is -1: use 0 or more"):
        api.load("coco_hsplid", {"training.epochs": -1})
    with pytest.raises(ConfigError, match="sweep nowhere is not in"):
        api.open_results("nowhere")
