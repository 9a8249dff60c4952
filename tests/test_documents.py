"""Documents name only what is there: links, paths and commands."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import get_args

import pytest

from sweeps.search import samplers
from sweeps.spec.search_spec import SamplerName

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (ROOT, *(ROOT / name for name in ("sweeps", "hsplid_core", "tests", "docker")))
    for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
)
_TOP = r"(?:sweeps|hsplid_core|trainables|search_spaces|tests|docker)"
_LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")
_PATH = re.compile(rf"`({_TOP}/(?!secrets)[\w./-]+)`")  # docker/secrets is made on demand
_MODULE = re.compile(r"python -m ((?:sweeps|tests)(?:\.\w+)*)")


def test_there_are_documents() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "sweeps/README.md"} <= set(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_names_is_there(name: str) -> None:
    document = ROOT / name
    text = document.read_text(encoding="utf-8")
    missing = [link for link in _LINK.findall(text) if not (document.parent / link).exists()]
    missing += [path for path in _PATH.findall(text) if not (ROOT / path).exists()]
    missing += [m for m in _MODULE.findall(text) if importlib.util.find_spec(m) is None]
    assert missing == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1_400


def test_a_sampler_is_in_both_lists_that_contributing_names() -> None:
    assert {*samplers._SAMPLERS, "grid"} == set(get_args(SamplerName))
