"""Machine check: what a sweep lacks on this machine is told in one message, before all else."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hsplid_core.errors import ConfigError
from sweeps.cluster import machine
from sweeps.cluster.machine import check_machine
from sweeps.run import main
from sweeps.spec.loading import load_spec
from sweeps.spec.sweep_spec import SweepSpec

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _same_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def spec_with(tmp_path: Path, **changes: dict[str, object]) -> SweepSpec:
    return load_spec("coco_hsplid").model_copy(update={"storage": tmp_path / "runs", **changes})


def test_all_that_is_missing_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "_LEAST_MEMORY", 2**60)
    monkeypatch.setattr(machine, "_LEAST_DISK", 2**60)
    storage = tmp_path / "runs"
    given = ["resources.cpu=4", "cluster.num_cpus=2", "resources.gpu=1", f"storage={storage}"]
    assert main(["coco_hsplid", *given]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    for text in (
        "resources.cpu is 4, but cluster.num_cpus is 2: lower it",
        "resources.gpu is 1, but this machine has ",
        "GiB of memory left, and a sweep takes at least ",
        f"storage is {storage}, whose disk has ",
    ):
        assert text in error
    assert list(tmp_path.iterdir()) == []
    # What a running cluster has is not known yet.
    assert main(["coco_hsplid", *given, "cluster.address=127.0.0.1:1", "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("training.device=cuda", "training.device is cuda, but PyTorch finds no GPU here"),
        ("data.node_cache=$NOT_SET/cache", "data.node_cache is $NOT_SET/cache, on "),
        # Found under the sweep's lock, whose folder goes with it.
        ("data.root=/not/there", "/not/there must be a folder"),
        (f"storage=/{'x' * 200}/{'y' * 200}", "storage is /xxx"),
    ],
)
def test_what_no_trial_could_do_is_told_and_leaves_nothing(
    given: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    few = ["resources.cpu=1", "resources.gpu=0"]
    assert main(["coco_hsplid", f"storage={tmp_path}/runs", *few, given]) == 2
    assert f"error: {says}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_too_few_open_files_are_told_and_a_lower_limit_is_raised(tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom sweeps.run import main\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        f"sys.exit(main(['coco_hsplid', 'storage={tmp_path}/runs']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        "error: this process may open 256 files, and Ray needs 1024: raise the limit "
        "(ulimit -n 65536)\n"
    )
    assert list(tmp_path.iterdir()) == []

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    check_machine(spec_with(tmp_path))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 1024


def test_fitting_and_joined_clusters_pass(tmp_path: Path) -> None:
    spec = spec_with(tmp_path)
    check_machine(spec)
    asks = spec.resources.model_copy(update={"cpu": 1e6})
    with pytest.raises(ConfigError, match=r"resources\.cpu is 1e\+06, but this machine has"):
        check_machine(spec.model_copy(update={"resources": asks}))
    joined = spec.cluster.model_copy(update={"address": "127.0.0.1:1"})
    check_machine(spec.model_copy(update={"resources": asks, "cluster": joined}))
