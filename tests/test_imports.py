"""Imports run one way: between the four packages, and between the rooms inside two of them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "hsplid_core": {"trainables", "search_spaces", "sweeps", "ray", "optuna", "mlflow"},
    "trainables": {"search_spaces", "sweeps", "optuna", "mlflow"},
    "search_spaces": {"hsplid_core", "trainables", "sweeps", "torch", "ray", "mlflow"},
    "sweeps": set[str](),
}
# A room imports from the levels above its own, and from its own level where that makes no circle.
LEVELS = {
    "hsplid_core": (
        "errors",
        "config files bucket_path _noise hsic",
        "data schedules",
        "attacks frequency",
        "corruptions margins models",
        "methods saliency",
        "evaluation training",
    ),
    "sweeps": (
        "storage spec",
        "trials",
        "fronts plots",
        "search tracking",
        "study terminal model_evaluation",
        "cluster",
        "engine",
        "confirmation",
        "outputs",
        "reproduction",
        "commands",
    ),
}
# The room that commands alone import, and that imports no other but the lowest.
APART = "data_sets"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path) -> set[str]:
    """What a file imports anywhere, also inside functions and for types only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}: write the whole name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


NAMES = {
    module_name(path): imported_names(path)
    for package in FORBIDDEN
    for path in sorted((ROOT / package).rglob("*.py"))
}


def nearest_module(name: str) -> str | None:
    """Our module that a dotted name is in."""
    while name and name not in NAMES:
        name = name.rpartition(".")[0]
    return name or None


IMPORTS = [
    (module, other)
    for module, names in NAMES.items()
    for other in {nearest_module(name) for name in names} - {None, module}
    if other is not None
]


def room_of(module: str, package: str) -> str | None:
    """The part of a package that a module is in; the modules of sweeps itself are commands."""
    above, _, inner = module.partition(".")
    room = inner.partition(".")[0]
    if above != package or not room:
        return None
    return "commands" if package == "sweeps" and not (ROOT / package / room).is_dir() else room


def circle(edges: Iterable[tuple[str, str]]) -> list[str]:
    graph = TopologicalSorter[str]()
    for importer, imported in edges:
        graph.add(importer, imported)
    try:
        graph.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def foreign(module: str) -> set[str]:
    """The packages that a module imports and may not."""
    tops = {name.partition(".")[0] for name in NAMES[module]}
    return tops & FORBIDDEN[module.partition(".")[0]]


def test_no_module_imports_against_the_arrow() -> None:
    assert len(NAMES) > 200
    assert {module: found for module in NAMES if (found := foreign(module))} == {}


@pytest.mark.parametrize("package", LEVELS)
def test_rooms_import_from_below_only(package: str) -> None:
    level = {room: i for i, rooms in enumerate(LEVELS[package]) for room in rooms.split()}
    assert {room_of(module, package) for module in NAMES} - {None, APART} == set(level)
    rooms = set()
    for module, other in IMPORTS:
        importer, imported = room_of(module, package), room_of(other, package)
        if importer is None or imported is None or importer == imported:
            continue
        rooms.add((importer, imported))
        if importer == APART:
            assert level[imported] == 0, f"{module} imports {other}"
        elif imported == APART:
            assert importer == "commands", f"{module} imports {other}"
        else:
            assert level[imported] <= level[importer], f"{module} imports {other}"
    assert circle(rooms) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert len(IMPORTS) > 500
    assert circle(IMPORTS) == []


def test_only_tracking_imports_mlflow() -> None:
    importing = [
        module
        for module, names in NAMES.items()
        if any(name.partition(".")[0] == "mlflow" for name in names)
    ]
    assert {room_of(module, "sweeps") for module in importing} == {"tracking"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("hsplid_core.training", FORBIDDEN["hsplid_core"]),  # it imports the methods
        ("search_spaces", FORBIDDEN["search_spaces"] | {"optuna"}),
        ("sweeps.run", {"torch", "ray", "optuna", "mlflow"}),
        (
            # What GPU machines run, which have PyTorch and little more.
            "tests.gpu.test_compile, tests.gpu.test_device_data, tests.gpu.test_training, "
            "tests.benchmarks.gpu.__main__",
            {"ray", "optuna", "mlflow", "pydantic", "pycocotools", "captum", "hypothesis"},
        ),
    ],
)
def test_a_fresh_interpreter_loads_nothing_foreign(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*(name for name in sys.modules if '.' not in name))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert set(loaded.stdout.split()) & absent == set()
