"""Public names of the packages: each has a caller in production code, or is what users import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from hsplid_core.config.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hsplid_core", "trainables", "search_spaces", "sweeps")
Name = tuple[str, str]
"""A name, after the module that it is defined in."""

# Parts of the library that the sweeps here need not, or only in another form.
FOR_USERS: set[Name] = {
    ("hsplid_core.attacks.regions", "user_region"),
    ("hsplid_core.hsic.estimators", "hsic_cca"),
    ("hsplid_core.hsic.estimators", "hsic_linear"),
    ("hsplid_core.hsic.estimators", "hsic_normalised"),
    ("hsplid_core.hsic.estimators", "hsic_regular"),
    ("hsplid_core.methods.objective", "MethodConfig"),
    ("sweeps.api", "Sweep"),
    ("sweeps.api", "load"),
    ("sweeps.api", "open_results"),
}


# Called by the method's name, in hsplid_core/methods/build.py.
BY_NAME: set[Name] = {(f"hsplid_core.methods.{name}", "build") for name in METHODS}


class Module:
    """What a module defines, and what it refers to."""

    def __init__(self, path: Path) -> None:
        parts = path.relative_to(ROOT).with_suffix("").parts
        self.name = ".".join(parts).removesuffix(".__init__")
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.imported: dict[str, Name] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (node.module, alias.name)

    def statements(self) -> Iterator[tuple[list[str], set[str], set[Name]]]:
        """Yield each top-level statement: what it defines, the names and attributes in it."""
        for statement in self.tree.body:
            names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            attributes = {
                (node.value.id, node.attr)
                for node in ast.walk(statement)
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            }
            yield defined(statement), names, attributes


def defined(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def uncalled() -> set[Name]:
    """Public names whose only callers in production code are other such names."""
    modules = [Module(path) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    by_name = {module.name: module for module in modules}

    def resolve(name: Name) -> Name:
        """Follow what modules hand on to where a name is defined."""
        module = by_name.get(name[0])
        if module is None or name[1] not in module.imported:
            return name
        return resolve(module.imported[name[1]])

    callers: dict[Name, set[Name]] = {}
    public: set[Name] = set()
    for module in modules:
        for own, names, attributes in module.statements():
            if own == ["__all__"]:
                continue
            public |= {(module.name, name) for name in own if not name.startswith("_")}
            called = {resolve(module.imported.get(name, (module.name, name))) for name in names}
            called |= {
                resolve((".".join(module.imported[value]), attribute))
                for value, attribute in attributes
                if value in module.imported
            }
            caller = (module.name, own[0] if own else "")
            for name in called - {(module.name, each) for each in own}:
                callers.setdefault(name, set()).add(caller)
    dead: set[Name] = set()
    while found := {n for n in public - dead - BY_NAME if callers.get(n, set()) <= dead}:
        dead |= found
    return dead


def test_every_public_name_has_a_caller_or_is_for_users() -> None:
    assert sorted(uncalled()) == sorted(FOR_USERS)
