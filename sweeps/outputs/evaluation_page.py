"""Page of an evaluation: models that were judged alike, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from hsplid_core.errors import ConfigError
from hsplid_core.files import replace_text
from sweeps.model_evaluation import SummaryRow, Verdict, short_names, spread_text
from sweeps.model_evaluation.text_tables import notes
from sweeps.outputs import figures
from sweeps.outputs import page_tables as tables
from sweeps.outputs.page import Chart, Page, Section, render
from sweeps.outputs.robust_curves import RobustCurve, robust_curves


def write_evaluation(
    path: Path,
    judged: Mapping[str, Sequence[Verdict]],
    rows: Sequence[SummaryRow],
    settings: Mapping[str, str],
    files: Sequence[Path],
) -> None:
    """Write the page.

    Args:
        path: Where to.
        judged: Verdicts of each model, on each data set under each seed, by the model's name.
        rows: Their summary.
        settings: What was asked for, by name.
        files: Logs and tables that were written beside.

    Raises:
        ConfigError: The file cannot be written.
    """
    verdicts = [verdict for own in judged.values() for verdict in own]
    seeds = sorted({verdict.seed for verdict in verdicts})
    data = list(dict.fromkeys(verdict.data for verdict in verdicts))
    sections = [
        _numbers(rows, n_seeds=len(seeds)),
        *(_curves(name, rows, judged) for name in data),
        _notes(judged, short_names(rows)),
        Section(
            anchor="origin",
            title="What was asked for",
            tables=[tables.facts_table("Settings", settings)],
            folded=[tables.plain_table("Files", ["file"], [[str(file)] for file in files])],
        ),
    ]
    page = Page(
        title=f"{len(judged)} model{'s' if len(judged) > 1 else ''} on {', '.join(data)}",
        description=", ".join(judged),
        is_demo=any(verdict.is_demo for verdict in verdicts),
        summary={
            "models": str(len(judged)),
            "seeds of the evaluation": str(len(seeds)),
            "images": ", ".join(dict.fromkeys(str(verdict.n_images) for verdict in verdicts)),
        },
        sections=[section for section in sections if section is not None],
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, render(page))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def _numbers(rows: Sequence[SummaryRow], *, n_seeds: int) -> Section:
    models = list(dict.fromkeys(row.model for row in rows))
    names = [short_names(rows)[model] for model in models]
    cells = {(row.measure, row.model): spread_text(row.spread) for row in rows}
    lines = [
        [measure, *(cells.get((measure, model), "-") for model in models)]
        for measure in dict.fromkeys(row.measure for row in rows)
    ]
    return Section(
        anchor="numbers",
        title="All measures",
        text=[
            f"Mean ± standard deviation [95% interval] over {n_seeds} seeds of the evaluation; of "
            "all models, over the models. The interval of a share of images speaks of other "
            "images, too. Another seed changes attacks, noise and swaps, and no clean image."
        ],
        tables=[tables.plain_table("Measures", ["measure", *names], lines)],
    )


def _curves(
    data: str, rows: Sequence[SummaryRow], judged: Mapping[str, Sequence[Verdict]]
) -> Section | None:
    suites = {v.robustness.suite for own in judged.values() for v in own if v.robustness}
    means = {(row.model, row.measure): row.spread.mean for row in rows}
    curves: list[RobustCurve] = []
    for model in judged:
        for suite in sorted(suites):
            begin = f"{data}/{suite}/"
            found = {
                f"val/robust_accuracy/{measure.removeprefix(begin)}": mean
                for (name, measure), mean in means.items()
                if name == model and measure.startswith(begin)
            }
            clean = {"val/accuracy": means[model, f"{data}/clean"]}
            curves += robust_curves(short_names(rows)[model], {**found, **clean})
    if not curves:
        return None
    return Section(
        anchor=f"robustness-{data.replace('/', '-')}",
        title=f"Robust accuracy over epsilon, {data}",
        text=["Means over the seeds; at 0 it is clean."],
        charts=[
            Chart(figure=figure, caption="Accuracy against the radius of the attack.")
            for figure in figures.curves_figures(curves)
        ],
        folded=[tables.curves_table(curves)],
    )


def _notes(judged: Mapping[str, Sequence[Verdict]], names: Mapping[str, str]) -> Section | None:
    rows = [[names[model], *others] for model, *others in dict.fromkeys(_told(judged))]
    if not rows:
        return None
    header = ["model", "data", "note"]
    return Section(
        anchor="notes",
        title="What must be known to read this",
        tables=[tables.plain_table("Notes and warnings", header, rows)],
    )


def _told(judged: Mapping[str, Sequence[Verdict]]) -> Iterator[tuple[str, str, str]]:
    for model, verdicts in judged.items():
        for verdict in verdicts:
            yield from ((model, verdict.data, note) for note in notes(verdict))
