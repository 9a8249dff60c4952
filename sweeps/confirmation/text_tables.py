"""A confirmation as tables of text, for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Iterator

from sweeps.confirmation.results import Confirmation
from sweeps.model_evaluation.confidence import Spread
from sweeps.model_evaluation.text_tables import TRAINED_ON
from sweeps.terminal.plain_console import plain_console
from sweeps.terminal.trial_table import rich_table
from sweeps.trials.labels import START_LABEL, is_share, metric_label, metric_text

Rows = list[list[str]]


def print_confirmation(confirmation: Confirmation, *, n_seeds: int) -> None:
    """Print what was measured, and what it says about the search."""
    console = plain_console()
    seeds = f"{n_seeds} new seeds, mean ± sd [95% interval] in %"
    console.print(rich_table(f"Test split, {seeds}", *turned(*test_rows(confirmation))))
    console.print(rich_table("Promise and luck, validation images", *luck_rows(confirmation)))
    for line in conclusions(confirmation):
        console.print(line)
    if (doubts := doubts_text(confirmation)) is not None:
        console.print(doubts)
    if confirmation.is_demo:
        console.print("Demo data: these figures say nothing about the real data set.")


def test_rows(confirmation: Confirmation) -> tuple[list[str], Rows]:
    """Lay the accuracies on the test split out: one row a configuration.

    Returns:
        Header and rows. A cell holds mean, standard deviation and, in brackets, the interval
        of the mean over seeds and images (95%).
    """
    measures = list(dict.fromkeys(m for own in confirmation.test.values() for m in own))
    header = ["setting", "seeds", *measures, "on the front"]
    rows = []
    for name in confirmation.configurations:
        own = confirmation.test[name]
        standing = confirmation.standings.get(name)
        front = "-"
        if standing is not None:
            front = f"{'yes' if standing.on_front else 'no'} ({standing.share:.0%})"
        count = max((each.n for each in own.values()), default=0)
        cells = [spread_text(own[measure]) if measure in own else "-" for measure in measures]
        rows.append([name, str(count), *cells, front])
    return header, rows


def luck_rows(confirmation: Confirmation) -> tuple[list[str], Rows]:
    """Lay out what the search promised, and what was left of it: one row an objective."""
    header = ["setting", "objective", "in the search", "new seeds", "luck", "gain kept"]
    rows = []
    for name, own in confirmation.luck.items():
        for metric, luck in own.items():
            rows.append(
                [
                    name,
                    metric_label(metric),
                    metric_text(metric, luck.searched),
                    metric_text(metric, luck.confirmed),
                    _signed(metric, luck.luck),
                    _kept(metric, luck.promised, luck.kept),
                ]
            )
    return header, rows


def conclusions(confirmation: Confirmation) -> list[str]:
    """Say in sentences what the tables show."""
    return list(_conclusions(confirmation))


def _conclusions(confirmation: Confirmation) -> Iterator[str]:
    standings = confirmation.standings
    chosen = [name for name in confirmation.configurations if name in confirmation.luck]
    kept = [name for name in chosen if name in standings and standings[name].on_front]
    yield (
        f"{len(kept)} of {len(chosen)} chosen configurations stay non-dominated on the test split"
        + (f": {', '.join(kept)}." if kept else ".")
    )
    metrics = dict.fromkeys(metric for own in confirmation.luck.values() for metric in own)
    for metric in metrics:
        each = [own[metric] for own in confirmation.luck.values() if metric in own]
        mean = sum(luck.luck for luck in each) / len(each)
        text = f"In {metric_label(metric)}, the search flattered them by {_signed(metric, mean)}"
        promised = [luck.promised for luck in each if luck.promised is not None]
        if promised:
            kept_gain = sum(luck.kept or 0.0 for luck in each) / len(promised)
            gain = sum(promised) / len(promised)
            text += (
                f" on average: a gain over the {START_LABEL} of {_signed(metric, gain)} was "
                f"promised, {_signed(metric, kept_gain)} came again"
            )
        yield f"{text}."
    for name, gains in confirmation.gains.items():
        points = ", ".join(f"{measure} {_gain_text(gain)}" for measure, gain in gains.items())
        yield f"{name} against cross-entropy with its optimiser, in points: {points}."
    for name, seeds in confirmation.failed.items():
        yield f"{name} did not finish under seed {', '.join(map(str, seeds))}."
    if confirmation.split == "published":
        yield TRAINED_ON


def doubts_text(confirmation: Confirmation) -> str | None:
    """Say what the evaluation itself found suspicious; None for nothing."""
    if not confirmation.doubts:
        return None
    each = [
        f"{name}: {', '.join(code.replace('_', ' ') for code in codes)}"
        for name, codes in confirmation.doubts.items()
    ]
    return f"Reasons to distrust these robust accuracies: {'; '.join(each)}."


def _gain_text(gain: Spread) -> str:
    text = f"{100 * gain.mean:+.1f}"
    if gain.low is None or gain.high is None:
        return text
    return f"{text} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def spread_text(spread: Spread) -> str:
    """Write a spread of shares: 77.9 ± 4.9 [74.1, 81.5]."""
    text = f"{100 * spread.mean:.1f}"
    if spread.sd is None or spread.low is None or spread.high is None:
        return text
    return f"{text} ± {100 * spread.sd:.1f} [{100 * spread.low:.1f}, {100 * spread.high:.1f}]"


def turned(header: list[str], rows: Rows) -> tuple[list[str], Rows]:
    """Turn a table round: with many measures and few configurations, it then fits a terminal."""
    columns = [list(column) for column in zip(header, *rows, strict=True)]
    return ["", *(row[0] for row in rows)], columns[1:]


def _signed(metric: str, value: float) -> str:
    """Write a difference; one of two shares is in percentage points."""
    if is_share(metric):
        return f"{100 * value:+.1f} points"
    return f"{'-' if value < 0 else '+'}{metric_text(metric, abs(value))}"


def _kept(metric: str, promised: float | None, kept: float | None) -> str:
    if promised is None or kept is None:
        return "-"
    return f"{_signed(metric, kept).removesuffix(' points')} of {_signed(metric, promised)}"
