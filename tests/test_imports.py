"""Imports run one way only: hsplid_core <- trainables <- sweeps, and search_spaces <- sweeps."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "hsplid_core": {"trainables", "search_spaces", "sweeps", "ray", "optuna", "mlflow"},
    "trainables": {"search_spaces", "sweeps", "optuna", "mlflow"},
    "search_spaces": {"hsplid_core", "trainables", "sweeps", "torch", "ray", "mlflow"},
}


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_file_imports_against_the_arrow(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {
        str(path.relative_to(ROOT)): sorted(imported_packages(path) & FORBIDDEN[package])
        for path in files
        if imported_packages(path) & FORBIDDEN[package]
    }
    assert wrong == {}


def test_only_tracking_imports_mlflow() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "sweeps").rglob("*.py"))
        if "mlflow" in imported_packages(path) and path.parent.name != "tracking"
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("hsplid_core.methods", FORBIDDEN["hsplid_core"]),
        ("hsplid_core.training", FORBIDDEN["hsplid_core"]),
        ("search_spaces", FORBIDDEN["search_spaces"] | {"optuna"}),
        ("sweeps.run", {"torch", "ray", "optuna", "mlflow"}),
    ],
)
def test_a_fresh_interpreter_loads_nothing_foreign(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*(name for name in sys.modules if '.' not in name))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert set(loaded.stdout.split()) & absent == set()
