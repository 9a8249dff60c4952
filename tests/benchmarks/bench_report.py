"""How long a browser takes to open a sweep's report on 1,000 trials.

A page is open when its tables and its front are there; the charts below the front are drawn one
after the other while one already reads. The baseline is the same page about ten trials: what the
browser, plotly and the page itself cost.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser

from sweeps.report import write_report
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._timing import compare
from tests.sweeps.reports import chromium, made_up
from tests.sweeps.studies import cloud_study

_TARGET_S = 3.0


def opening(browser: Browser, file: Path, *, state: str = "open") -> Callable[[], None]:
    """Return a function that opens a page in a window of its own and waits for it.

    Args:
        browser: The browser.
        file: The page.
        state: ``open``, or ``ready`` once the last chart is drawn.
    """

    def run() -> None:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(file.as_uri())
        page.wait_for_selector(f"html[data-{state}]", timeout=60_000)
        page.close()

    return run


def main() -> int:
    """Write two reports, open each in turns, and print seconds and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        many, few = (
            write_report(made_up(cloud_study(count), Path(folder) / f"trials-{count}"))
            for count in (1000, 10)
        )
        with chromium() as browser:
            slow, fast = compare(opening(browser, many), opening(browser, few), rounds=3)
            whole, small = compare(
                opening(browser, many, state="ready"),
                opening(browser, few, state="ready"),
                rounds=2,
            )
    print(f"1,000 trials: open in {slow:.2f} s, last chart drawn after {whole:.2f} s")
    print(f"10 trials: open in {fast:.2f} s, last chart drawn after {small:.2f} s")
    return report(
        [
            Ratio("seconds until 1,000 trials are open", slow, _TARGET_S, False),
            Ratio("1,000 trials / 10 trials", slow / fast, 3.0, False),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
