"""Report of a sweep: one HTML page, written where the sweep is or anywhere else."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from hsplid_core.files import replace_text
from sweeps.fronts.selection import select
from sweeps.outputs.page import Page, render
from sweeps.outputs.running_section import running_section, standing_text
from sweeps.outputs.sections import sections_of, summary_of
from sweeps.storage.file_names import REPORT_FILE
from sweeps.study.stored_sweep import StoredSweep, open_sweep

logger = logging.getLogger(__name__)


def write_report(
    sweep: StoredSweep,
    *,
    output: Path | None = None,
    ui: str | None = None,
    running: bool = False,
) -> Path:
    """Write the report of a sweep.

    Args:
        sweep: The sweep.
        output: Where to write; None takes ``report.html`` in the sweep's folder.
        ui: Address of MLflow's UI; None takes the tracking server's, or the local default.
        running: Mark the sweep as running, and let the page reload itself.

    Returns:
        The file.
    """
    selection = select(sweep.records, sweep.objectives, start=sweep.start)
    now = running_section(sweep) if running else None
    page = Page(
        title=sweep.name,
        description=sweep.info.spec.description if sweep.info else "",
        is_demo=sweep.info is not None and sweep.info.is_demo,
        summary=summary_of(selection),
        sections=[*([now] if now else []), *sections_of(sweep, selection, ui=ui)],
        running=standing_text(sweep) if running else None,
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )
    path = output or sweep.folder / REPORT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, render(page))
    return path


def report_or_warn(folder: Path) -> None:
    """Write the report of a sweep that has just ended; a fault in it takes no result down.

    Args:
        folder: The sweep's folder.
    """
    try:
        write_report(open_sweep(str(folder)))
    except Exception:
        logger.warning(
            "%s has no report; python -m sweeps.report tries again", folder, exc_info=True
        )
