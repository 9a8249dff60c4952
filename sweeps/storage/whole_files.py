"""Text files that are whole: a reader sees the old one or the new one, never a part."""

from __future__ import annotations

from pathlib import Path

from hsplid_core.files import replacing


def replace_text(path: Path, text: str) -> None:
    """Write a text file, or replace it, in one step."""
    with replacing(path) as file:
        file.write(text.encode())
