"""The batch script for SLURM, run by bash, and what is told before there is a job."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hsplid_core.errors import ConfigError
from sweeps import jobs, submit
from sweeps.cluster.slurm_queue import parsed, queue_rows
from sweeps.cluster.slurm_script import SlurmRequest, batch_script
from sweeps.cluster.slurm_submission import check_nodes_see, cores_for
from sweeps.spec.cluster_spec import ResourcesSpec
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides


def script(folder: Path, request: SlurmRequest | None = None, **changes: object) -> str:
    settings = {
        "name": "toy",
        "folder": folder / "runs" / "toy",
        "arguments": ("toy.yaml", "trials=3"),
        "here": folder,
        "programs": folder / "bin",
        "fresh": False,
        "has_files": True,
    }
    return batch_script(request or SlurmRequest(), **{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("nodes", [1, 8])
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("requeue", [True, False])
def test_the_script_is_one_that_bash_reads(
    nodes: int, fresh: bool, requeue: bool, tmp_path: Path
) -> None:
    request = SlurmRequest(nodes=nodes, gpus_per_node="a100:4", requeue=requeue)
    text = script(tmp_path / "it's a folder", request, fresh=fresh)
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ('ray" start' in text, "cluster.num_gpus=4" in text) == (nodes > 1, nodes == 1)
    assert "--num-gpus=4" in text or nodes == 1
    assert ("--fresh" in text, "scontrol requeue" in text) == (fresh, requeue)


def test_the_script_asks_for_what_was_asked(tmp_path: Path) -> None:
    request = SlurmRequest(
        nodes=2,
        cpus_per_task=8,
        gpus_per_node="2",
        time="12:00:00",
        partition="gpu",
        account="students",
        options=("--mem=32G", "--comment=50% of it"),
        signal_min=5,
    )
    text = script(tmp_path / "100%", request)
    options = [line.removeprefix("#SBATCH ") for line in text.splitlines() if "#SBATCH" in line]
    assert options == [
        "--job-name=sweep-toy",
        f"--output={tmp_path}/100%%/runs/toy/slurm-%j.out",
        "--open-mode=append",
        f"--chdir={tmp_path}/100%",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=8",
        "--gpus-per-node=2",
        "--time=12:00:00",
        "--partition=gpu",
        "--account=students",
        "--signal=B:USR1@300",
        "--requeue",
        "--mem=32G",
        '--comment="50% of it"',
    ]


# What stands in for the sweep: it ends in order when it is told to, as sweeps.run does.
_SWEEP = """\
#!/bin/bash
echo "$@" >>told
trap 'exit 143' TERM
[ -z "$EPOCH" ] || mkdir -p runs/toy/ray/a/b/checkpoint_1
touch running
[ -z "$CODE" ] || exit "$CODE"
for i in $(seq 100); do sleep 0.05; done
"""


@pytest.mark.parametrize(
    ("signals", "code", "epoch", "ends", "calls"),
    [
        (["USR1"], "", "1", 0, ["scontrol requeue 7"]),
        (["USR1", "TERM"], "", "1", 143, []),
        (["USR1"], "", "", 1, []),  # it would never get any further
        (["USR2"], "", "1", 143, ["scancel 7"]),
        (["TERM"], "", "1", 143, []),
        ([], "0", "1", 0, []),
        ([], "2", "1", 2, []),
        ([], "75", "1", 0, ["scontrol requeue 7"]),
    ],
)
def test_the_script_says_what_becomes_of_the_job(
    signals: list[str], code: str, epoch: str, ends: int, calls: list[str], tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("scontrol", "scancel", "sbatch"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/bash\necho "{name} $*" >>calls\n')
    (tmp_path / "bin" / "python").write_text(_SWEEP)
    for file in (tmp_path / "bin").iterdir():
        file.chmod(0o755)
    (tmp_path / "runs" / "toy").mkdir(parents=True)
    (tmp_path / "runs" / "toy" / "slurm.sbatch").write_text(text := script(tmp_path))
    environment = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n1", "CODE": code, "EPOCH": epoch}
    job = subprocess.Popen(
        ["bash", "-c", text],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    while signals and not (tmp_path / "running").exists():
        assert job.poll() is None, job.communicate()
    for signal in signals:
        subprocess.run(["kill", f"-{signal}", str(job.pid)], check=True)
    _, said = job.communicate(timeout=60)
    assert job.returncode == ends, said
    told = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    assert told == calls
    assert (tmp_path / "told").read_text() == (
        "-m sweeps.run toy.yaml trials=3 cluster.num_gpus=0\n"
    )
    assert ("no epoch ended" in said) == (ends == 1)
    assert [file.name for file in (tmp_path / "runs" / "toy").glob(".slurm*")] == []


def test_a_job_without_its_folder_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        ["bash", "-c", script(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "slurm.sbatch is not on this node: use a folder that all nodes share" in done.stderr


def test_queue_lines_become_rows() -> None:
    text = """\
12|sweep-coco|RUNNING|None|1764332000|1764375200|/home/me/a | b/runs/coco/slurm.sbatch
13|sweep-late|PENDING|Resources|N/A|N/A|/home/me/runs/late/slurm.sbatch
14|other|RUNNING|None|1764332000|N/A|/home/me/job.sh
9|sweep-old|CANCELLED by 1000|None|1764332000|1764332060|sbatch --parsable /r/old/slurm.sbatch
"""
    rows = queue_rows(parsed(text))
    assert [(row["job"], row["sweep"], row["status"], row["storage"]) for row in rows] == [
        ("12", "coco", "RUNNING", "/home/me/a | b/runs"),
        ("13", "late", "PENDING (Resources)", "/home/me/runs"),
        ("9", "old", "CANCELLED", "/r"),
    ]
    assert [(row["started"], row["ended"]) for row in rows] == [
        ("2025-11-28 12:13:20 UTC", None),
        (None, None),
        ("2025-11-28 12:13:20 UTC", "2025-11-28 12:14:20 UTC"),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nodes", "2"], "--nodes is for SLURM: add --slurm"),
        (["--slurm", "--secret", "X"], "--secret is for a Ray cluster"),
        (["--slurm", "--nodes", "0"], "--nodes is 0: use at least 1"),
        (["--slurm", "--gpus-per-node", "many"], "--gpus-per-node is many: use a number"),
        (["--slurm", "--signal", "0.1"], "--signal is 0.1: a sweep takes up to 20 s to stop"),
        (["--slurm", "--sbatch", "mem=3G"], "--sbatch has mem=3G, which is no option"),
        (["--slurm", "--sbatch", "--comment='x"], "--sbatch is --comment='x: No closing quot"),
        (["--slurm", "resources.gpu=1"], "resources.gpu is 1, but a node of the job has 0: raise"),
        (["--slurm", "--cpus-per-task", "1", "resources.cpu=4"], "raise --cpus-per-task"),
        (["--slurm", "cluster.address=auto"], "cluster.address is given: a job has a Ray"),
    ],
)
def test_a_submission_that_is_refused(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = submit.main(["coco_hsplid", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_prints_the_script_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = ["--slurm", "--dry-run", "--gpus-per-node", "2", "resources.gpu=0.25", "storage=here"]
    assert submit.main(["coco_hsplid", *wanted, "--allow-changed", "--json"]) == 0
    text = capsys.readouterr().out
    assert "#SBATCH --cpus-per-task=8\n" in text
    assert (
        f"-m sweeps.run coco_hsplid resources.gpu=0.25 storage={tmp_path}/here --allow-changed "
        "--json \\\n"
    ) in text
    assert "added=(cluster.num_gpus=2)\n" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("gpu", "cpu", "gpus", "cores"),
    [(0, 1, 0, 1), (0.25, 2, 1, 8), ("auto", 1.5, 4, 6), (1, 1, 4, 4)],
)
def test_cores_keep_the_gpus_busy(gpu: float, cpu: float, gpus: int, cores: int) -> None:
    assert cores_for(ResourcesSpec(gpu=gpu, cpu=cpu), gpus) == cores


def test_what_other_machines_cannot_see_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check(*overrides: str, others: tuple[str, ...] = ("n1", "n2")) -> None:
        check_nodes_see(load_spec("coco_hsplid", parse_overrides(overrides)), others)

    check("storage=/tmp/runs", others=())
    with pytest.raises(ConfigError, match="storage is /tmp/runs, in a folder that each machine"):
        check("storage=/tmp/runs")
    with pytest.raises(ConfigError, match=r"tracking.uri is http://localhost:5000, which on a"):
        check("storage=/proc/runs", "tracking.uri=http://localhost:5000")
    assert capsys.readouterr().err == ""


def test_without_slurm_jobs_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert jobs.main(["list", "--slurm"]) == 2
    assert "error: --slurm: squeue is not on this machine" in capsys.readouterr().err
