"""Shell completion, asked as bash asks; and Optuna's dashboard, asked as a browser does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests

from hsplid_core.errors import ConfigError
from sweeps.spec.registry import SWEEPS
from sweeps.study.dashboard import dashboard
from tests.sweeps.test_commands import HEAVY, ROOT
from tests.sweeps.test_study import opened

_ASK = """
import sys
from sweeps import __main__, _completion
try:
    _completion.complete(__main__.COMMANDS, end=sys.exit)
finally:
    print(*sys.modules)
"""


def proposals(line: str, folder: Path) -> tuple[set[str], set[str]]:
    """Ask how a line goes on; return the answers, and what was imported for them."""
    answers = folder / "answers"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answers),
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        cwd=folder,
        env={**os.environ, **asked, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(answers.read_text().split("\n")), set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("re", {"repair", "report"}),
        ("run coco_hsplid_", {name for name in SWEEPS if name.startswith("coco_hsplid_")}),
        ("pareto ti", {"tiny"}),
        ("report tiny ti", {"tiny"}),
        ("run coco_hsplid training.learning", {"training.learning_rate="}),
        (
            "run coco_hsplid search.scheduler=m",
            {"search.scheduler=mo_asha", "search.scheduler=median"},
        ),
        ("run coco_hsplid --allow", {"--allow-changed"}),
        ("control tiny pau", {"pause"}),
        ("data check mn", {"mnist"}),
    ],
)
def test_a_line_goes_on_without_torch(line: str, expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "spec.yaml").touch()
    found, imported = proposals(f"saliency-sweeps {line}", tmp_path)
    assert {each.strip() for each in found} == expected
    assert (HEAVY - {"pydantic"}).isdisjoint(imported)


def test_optunas_dashboard_shows_the_study_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    study = opened(folder)
    study.tell(study.ask(), [0.5, 0.25])
    before = (folder / "study.log").read_bytes()
    server, address = dashboard(folder)
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            base, _, number = address.partition("/dashboard/studies/")
            assert "Optuna Dashboard" in requests.get(address, timeout=10).text
            own = f"{base}/api/studies/{number}"
            (trial,) = requests.get(own, timeout=10).json()["trials"]
            assert trial["values"] == [0.5, 0.25]
            for refused in (
                requests.delete(own, timeout=10),
                requests.put(f"{own}/note", json={"body": "x", "version": 1}, timeout=10),
            ):
                assert (refused.status_code, "read-only" in refused.json()["reason"]) == (
                    403,
                    True,
                )
        finally:
            server.shutdown()
            thread.join()
    assert (folder / "study.log").read_bytes() == before


def test_a_dashboard_that_cannot_be_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="holds no study"):
        dashboard(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[dashboard\]'"):
        dashboard(tmp_path)
