"""A confirmation handed to MLflow: what its numbers are called there, and whose they are.

The sweep's run gets those of the models that all start from or are compared with, each trial's run
its own. ``MEASURE`` is a column of the table on the test split in lower case, ``pgd/full/linf/2``.

=========================================  ====================================================
metric                                     meaning
=========================================  ====================================================
``confirm/test/MEASURE/mean``, ``/sd``     over the new seeds, on the test split
``confirm/test/MEASURE/low``, ``/high``    bootstrap interval of that mean (95%)
``confirm/luck/OBJECTIVE``                 what the search flattered, on validation images
``confirm/front_share``                    share of bootstrap samples with it on the front
=========================================  ====================================================

Tags are ``confirm.suite``, ``confirm.seeds`` and, for trials, ``confirm.on_front``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from hsplid_core.errors import SaliencyError
from sweeps.confirm.plan import Plan
from sweeps.confirm.results import MEASUREMENTS_FILE, RESULT_FILE, Confirmation
from sweeps.confirm.statistics import CROSS_ENTROPY, PRETRAINED, Spread
from sweeps.tracking.confirming import log_confirmation

logger = logging.getLogger(__name__)


def record(plan: Plan, confirmation: Confirmation, report: Path) -> bool:
    """Write a confirmation into the runs of its sweep.

    Args:
        plan: What was run.
        confirmation: What came of it.
        report: The sweep's report, written anew.

    Returns:
        Whether MLflow has it; if not, a warning says why, and the files on disk have it all.
    """
    trials = {each.name: each.trial for each in plan.configurations}
    metrics: dict[int | None, dict[str, float]] = {None: {}}
    shared = {
        "confirm.suite": confirmation.suite,
        "confirm.seeds": ",".join(map(str, confirmation.seeds)),
    }
    tags: dict[int | None, dict[str, str]] = {None: shared}
    for name in confirmation.configurations:
        number = trials.get(name)
        own = metrics.setdefault(number, {})
        prefix = f"{name.replace(' ', '_')}/" if name in (PRETRAINED, CROSS_ENTROPY) else ""
        own.update(_spreads(f"confirm/{prefix}test", confirmation.test[name]))
        if number is None:
            continue
        for metric, luck in confirmation.luck.get(name, {}).items():
            own[f"confirm/luck/{metric}"] = luck.luck
        tags[number] = dict(shared)
        if (standing := confirmation.standings.get(name)) is not None:
            own["confirm/front_share"] = standing.share
            tags[number]["confirm.on_front"] = str(standing.on_front).lower()
    try:
        log_confirmation(
            plan.sweep.recording,
            metrics=metrics,
            tags=tags,
            numbers=[plan.folder / RESULT_FILE, plan.folder / MEASUREMENTS_FILE],
            report=report,
        )
    except SaliencyError as error:
        logger.warning("%s. The same command tries again", error)
        return False
    return True


def _spreads(prefix: str, measures: Mapping[str, Spread]) -> dict[str, float]:
    found: dict[str, float] = {}
    for measure, spread in measures.items():
        name = measure.removesuffix("/255").replace(" ", "/")
        parts = {"mean": spread.mean, "sd": spread.sd, "low": spread.low, "high": spread.high}
        found |= {f"{prefix}/{name}/{key}": x for key, x in parts.items() if x is not None}
    return found
