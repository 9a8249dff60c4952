"""Run code in other Python processes that import this checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start `python -c code arguments...`, its output kept."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for success; returns what it printed."""
    printed, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    return printed
