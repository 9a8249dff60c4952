"""The Python interface, used by a notebook and by a script without a main guard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import nbformat
import pytest
from nbclient import NotebookClient
from optuna.trial import TrialState

from hsplid_core.errors import ConfigError
from sweeps import api
from sweeps.terminal.stop_signals import GOES_ON
from sweeps.trials.learning_curves import read_curves
from tests.sweeps.whole_sweep import ROOT, Sweep

LOAD = """
import os
from sweeps import api

sweep = api.load("tiny.yaml", "trials=2", {"training.epochs": 3, "method.hsplid.rho_s": 0.1})
"""
READ = """
import json, sys
import torch

results = sweep.run()
trials, front = results.trials(), results.front()
model = results.model(int(front.index[0]))
found = {
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
def test_a_notebook_begins_a_sweep_and_a_script_ends_it(sweep: Sweep) -> None:
    cells = [f"{LOAD}\nprint(os.getpid())", "results = sweep.run()", "print(sweep.spec.name)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = NotebookClient(
        notebook,
        timeout=300,
        allow_errors=True,
        resources={"metadata": {"path": str(sweep.folder)}},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with client.setup_kernel():
            client.execute_cell(notebook.cells[0], 0)
            kernel = int(printed(notebook.cells[0]))
            interrupting = threading.Thread(target=interrupt, args=(sweep, kernel))
            interrupting.start()
            client.execute_cell(notebook.cells[1], 1)
            interrupting.join()
            client.execute_cell(notebook.cells[2], 2)
    # The cell has shown how it went and ended in order, and the kernel lives.
    shown = printed(notebook.cells[1])
    assert "trial 0 starts" in shown
    assert GOES_ON in shown.splitlines()[-1]
    assert "\x1b" not in shown
    assert [out.ename for out in notebook.cells[1].outputs if out.output_type == "error"] == [
        "KeyboardInterrupt"
    ]
    assert printed(notebook.cells[2]) == "tiny\n"
    assert {trial.state for trial in sweep.trials()} <= {TrialState.RUNNING, TrialState.COMPLETE}
    # A script has no main guard.
    (sweep.folder / "script.py").write_text(LOAD + READ)
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
    assert found["states"] == ["complete"] * 2
    assert found["rho"] == [0.1] * 2
    assert found["epochs"] == [3] * 2
    assert found["front"]
    assert found["hypervolume"] > 0
    assert found["logits"] == [2, 4]
    assert found["report"] == "report.html"
    assert "sweep finished: 2 complete" in done.stdout  # the second run shows how it goes
    assert sweep.trials()[0].user_attrs["attempts"] == 2  # from where the notebook left it


def printed(cell: nbformat.NotebookNode) -> str:
    streams = [out for out in cell.outputs if out.output_type == "stream"]
    return "".join(out.text for out in streams if out.name == "stdout")


def interrupt(sweep: Sweep, kernel: int) -> None:
    """Interrupt a notebook's cell, as its button does, when a trial has finished an epoch."""
    deadline = time.monotonic() + 240
    while not read_curves(sweep.folder / "runs" / "tiny") and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(kernel, signal.SIGINT)


def test_what_is_wrong_is_told_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=r"training\.epochs is -1: use 0 or more"):
        api.load("coco_hsplid", {"training.epochs": -1})
    with pytest.raises(ConfigError, match="sweep nowhere is not in"):
        api.open_results("nowhere")
