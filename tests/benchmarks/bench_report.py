"""How long a browser takes to open a sweep's report on 1,000 trials.

A page is open when its tables and its front are there; the charts below the front are drawn one
after the other while one already reads. The page itself says when, in time since it was asked for.
A busy machine makes everything wait, so the CPU seconds of the page's main thread until the last
chart is drawn are told, too. The baseline is the same page about ten trials: what the browser,
plotly and the page itself cost.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from sweeps.outputs import write_report
from sweeps.study.stored_sweep import StoredSweep
from sweeps.trials.learning_curves import CurveWriter
from tests.benchmarks._report import Ratio, report
from tests.sweeps.reports import chromium, made_up
from tests.sweeps.studies import cloud_study

_TARGET_S = 3.0
_ROUNDS = 5
_EPOCHS = 20
_STATES = ("readable", "open", "ready")


def opened(browser: Browser, file: Path) -> list[float]:
    """Open a page in a window of its own; seconds until each state of _STATES, and of the CPU."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    told = page.evaluate("({...document.documentElement.dataset})")
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    cpu = next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
    page.close()
    return [*(float(told[state]) / 1000 for state in _STATES), cpu]


def _written(sweep: StoredSweep) -> Path:
    """Write a sweep's report, with learning curves of all its trials."""
    writer = CurveWriter(sweep.folder, sweep.objectives)
    for record in sweep.records:
        for epoch in range(1, _EPOCHS + 1):
            grown = 1 - 0.5 ** (epoch / 5)
            values = (0.8, 0.4) if record.values is None else record.values
            found = zip(writer.metrics, values, strict=True)
            writer.epoch_finished(record.number, epoch, {n: grown * v for n, v in found})
    return write_report(sweep)


def main() -> int:
    """Write two reports, open each in turns, and print seconds and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        files = {
            count: _written(made_up(cloud_study(count), Path(folder) / f"trials-{count}"))
            for count in (1000, 10)
        }
        times: dict[int, list[list[float]]] = {count: [] for count in files}
        with chromium() as browser:
            for _ in range(_ROUNDS):
                for count, file in files.items():
                    times[count].append(opened(browser, file))
    medians = {
        count: [statistics.median(column) for column in zip(*rounds, strict=True)]
        for count, rounds in times.items()
    }
    for count, (*seconds, cpu) in medians.items():
        told = ", ".join(f"{s} after {t:.2f} s" for s, t in zip(_STATES, seconds, strict=True))
        print(f"{count} trials: {told}, {cpu:.2f} s of the CPU")
    slow, fast = medians[1000], medians[10]
    return report(
        [
            Ratio("seconds until 1,000 trials are open", slow[1], _TARGET_S, False),
            Ratio("CPU seconds until all of it is drawn", slow[-1], _TARGET_S, False),
            Ratio("1,000 trials / 10 trials, CPU", slow[-1] / fast[-1], 3.0, False),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
