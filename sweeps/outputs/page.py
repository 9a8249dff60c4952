"""The report's page: sections of text, charts and tables, laid out by a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import plotly.graph_objects as go
from jinja2 import Environment, StrictUndefined
from plotly.offline import get_plotlyjs

from sweeps.outputs.page_tables import Table

_TEMPLATE = "page.html.j2"
_MANY_ROWS = 100
_LONG = 40  # characters of a text that is not squeezed into a narrow column


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart.

    Attributes:
        figure: What is drawn.
        caption: What it shows, in words.
        min_width: Pixels below which it is moved sideways instead of squeezed.
    """

    figure: go.Figure
    caption: str
    min_width: int = 0

    @property
    def json(self) -> str:
        """The figure as JSON that cannot end the script element it stands in."""
        text: str = self.figure.to_json()
        return text.replace("<", "\\u003c")

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.figure.layout.height)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page.

    Attributes:
        anchor: Its id in the page.
        title: Heading.
        text: Paragraphs.
        warning: What to keep in mind; None for nothing.
        charts: Charts, side by side where there is room.
        folded_charts: Charts behind a click, drawn when they are opened.
        image: A PNG, base64.
        image_text: What the picture shows, in words.
        tables: Tables that are always open.
        folded: Tables behind a click.
        command: A command to copy.
        document: A long text behind a click.
    """

    anchor: str
    title: str
    text: Sequence[str] = ()
    warning: str | None = None
    charts: Sequence[Chart] = ()
    folded_charts: Sequence[Chart] = ()
    image: str | None = None
    image_text: str = ""
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    command: str | None = None
    document: str | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """The whole page.

    Attributes:
        title: Name of the sweep.
        description: What it is for.
        is_demo: Whether its data are a stand-in.
        summary: The few numbers to see first.
        sections: Everything else, in order.
        written: When the page was written.
        running: How far the sweep is, while it runs; the page reloads itself then.
    """

    title: str
    description: str
    is_demo: bool
    summary: Mapping[str, str]
    sections: Sequence[Section]
    written: str
    running: str | None = None


def render(page: Page) -> str:
    """Return the page as HTML that needs no other file and no network."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source = resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8")
    template = environment.from_string(source)
    return template.render(page=page, plotly=get_plotlyjs(), many_rows=_MANY_ROWS, long=_LONG)
