"""Page of the claims: a picture and a table for each, in the style of a sweep's report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hsplid_core.bucket_path import AnyPath
from hsplid_core.files import replace_text
from sweeps.outputs.figures import dressed
from sweeps.outputs.page import Chart, Page, Section, render
from sweeps.outputs.page_tables import Table, plain_table
from sweeps.plots.front_points import FRONT_COLOUR, PAPER_COLOUR, WARNED_COLOUR
from sweeps.reproduction.results import ClaimResult
from sweeps.reproduction.text import HEADER, code_text, command_of, finding_cells
from sweeps.reproduction.verdicts import Finding
from sweeps.storage.bucket_mirror import local_folder

PAGE_FILE = "claims.html"
_ROW = 84  # pixels
_GAP = 0.55  # of a row: what its ticks and the next one's title need
_LETTER = 6.7  # pixels of a title's letter


def write_page(results: Sequence[ClaimResult], storage: AnyPath) -> Path:
    """Write the page of all claims that have run.

    Args:
        results: What was found.
        storage: Where the sweeps are; the page lies among them.

    Returns:
        The file.
    """
    counts = {
        verdict: str(sum(result.verdict == verdict for result in results))
        for verdict in ("reproduced", "not reproduced", "undecided")
    }
    page = Page(
        title="Claims of the papers",
        description="What was tried, under which seeds, and what it shows.",
        is_demo=any(result.is_demo for result in results),
        summary=counts,
        sections=[_section(result) for result in results],
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )
    path = local_folder(storage) / PAGE_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, render(page))
    return path


def _section(result: ClaimResult) -> Section:
    claim = result.claim
    shown = [finding for finding in result.findings if finding.spread is not None]
    return Section(
        anchor=f"{result.name}-{result.scale}",
        title=f"{result.name}, {result.scale} scale: {result.verdict}",
        text=[
            f"{claim.paper}, {claim.section}. {claim.claim}",
            claim.scales[result.scale].note,
            f"Seeds {', '.join(map(str, result.seeds))}. {code_text(result)}",
            *([claim.seen] if claim.seen else []),
        ],
        warning="; ".join(result.notes) or None,
        charts=[_chart(shown)] if shown else (),
        tables=[_table(result)],
        command=command_of(result),
    )


def _table(result: ClaimResult) -> Table:
    rows = [finding_cells(finding) for finding in result.findings]
    return plain_table(f"Numbers of {result.name}", HEADER, rows)


def _chart(findings: Sequence[Finding]) -> Chart:
    longest = max(len(finding.number.name) for finding in findings)
    return Chart(
        figure=_figure(findings),
        caption=(
            "Mean (circle) and 95% interval over the seeds, each seed (small), the paper's value "
            "(diamond), and the limit beyond which a number counts as reproduced (dashed)."
        ),
        min_width=round(_LETTER * longest) + 92,  # with the margins
    )


def _figure(findings: Sequence[Finding]) -> go.Figure:
    """Draw numbers below each other, each on an axis of its own: they have different units."""
    figure = make_subplots(
        rows=len(findings),
        cols=1,
        subplot_titles=[finding.number.name for finding in findings],
        vertical_spacing=_GAP / len(findings),
    )
    for row, finding in enumerate(findings, start=1):
        factor = 100 if finding.number.percent else 1
        found = finding.spread
        assert found is not None
        half = 0.0 if found.high is None else found.high - found.mean
        _points(figure, row, [v * factor for v in finding.by_seed.values()], FRONT_COLOUR, size=5)
        figure.add_scatter(
            x=[found.mean * factor],
            y=[0],
            error_x={"type": "data", "array": [half * factor], "color": FRONT_COLOUR},
            mode="markers",
            marker={"size": 11, "color": FRONT_COLOUR},
            hovertemplate="%{x:.4g}<extra>mean</extra>",
            row=row,
            col=1,
        )
        if finding.number.paper is not None:
            published = [finding.number.paper * factor]
            _points(figure, row, published, PAPER_COLOUR, size=11, symbol="diamond")
        for limit in (finding.number.above, finding.number.below):
            if limit is not None:
                figure.add_vline(
                    x=limit * factor, line={"dash": "dash", "color": WARNED_COLOUR}, row=row, col=1
                )
        figure.update_xaxes(ticksuffix="%" if finding.number.percent else "", row=row, col=1)
    figure.update_yaxes(visible=False, range=[-1, 1])
    figure.update_annotations(x=0, xanchor="left", font={"size": 13})
    figure.update_layout(showlegend=False)
    return dressed(figure, height=80 + _ROW * len(findings))


def _points(
    figure: go.Figure,
    row: int,
    values: Sequence[float],
    colour: str,
    *,
    size: int,
    symbol: str = "circle",
) -> None:
    figure.add_scatter(
        x=list(values),
        y=[0] * len(values),
        mode="markers",
        marker={"size": size, "color": colour, "symbol": symbol},
        hovertemplate="%{x:.4g}<extra></extra>",
        row=row,
        col=1,
    )
