"""Private parts of Ray, Optuna and MLflow: fenced in one module, and there as expected."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from ray import tune
from ray._private import ray_constants
from ray._private.node import Node
from ray._private.runtime_env import packaging

from trainables import internals

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("ray", "optuna", "mlflow")
FENCE = ROOT / "trainables" / "internals.py"
FILES = sorted(
    path
    for package in ("hsplid_core", "trainables", "search_spaces", "sweeps")
    for path in (ROOT / package).rglob("*.py")
    if path != FENCE
)


def private_parts(path: Path) -> list[str]:
    """What a file takes of a library that begins with an underscore."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            found.append(ast.unparse(node))
        elif isinstance(node, ast.keyword) and node.arg is not None:
            found.append(
                f"ray.{node.arg}" if node.arg in ("_node_ip_address", "_temp_dir") else ""
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value if " " not in node.value else "")
    return [
        name
        for name in found
        if name.split(".")[0] in LIBRARIES
        and any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    ]


def test_private_parts_of_libraries_are_used_in_one_module_only() -> None:
    assert {str(path.relative_to(ROOT)): private_parts(path) for path in FILES} == {
        str(path.relative_to(ROOT)): [] for path in FILES
    }
    assert private_parts(FENCE)  # so the search above finds what there is


def test_the_private_parts_are_there() -> None:
    assert isinstance(ray_constants.ENABLE_RAY_CLUSTER, bool)
    with internals.loopback_only():
        assert ray_constants.ENABLE_RAY_CLUSTER is False
    starts = [getattr(Node, name) for name in internals.NEEDLESS]
    with internals.without_needless_processes():
        assert not set(starts) & {getattr(Node, name) for name in internals.NEEDLESS}
    assert [getattr(Node, name) for name in internals.NEEDLESS] == starts
    assert packaging.default_logger.name == internals.PACKAGING_LOGGER
    assert internals.storage_of(tune.Trainable()) is None


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_upper_bound_stands_in_the_project(library: str) -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.strip().startswith((f'"{library}>', f'"{library}['))]
    assert ",<" in line
