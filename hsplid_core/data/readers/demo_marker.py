"""Marker of a stand-in, a drawn folder in the layout of a real data set."""

from __future__ import annotations

from pathlib import Path

DEMO_MARKER = "DEMO.json"


def is_stand_in(folder: Path) -> bool:
    """Whether a folder, or the one around it, is marked as a stand-in.

    Archives unpack into a folder of their own, so that a root may be named one level deeper than
    the marker lies.
    """
    return any((place / DEMO_MARKER).exists() for place in (folder, folder.absolute().parent))
