"""Nothing from outside is markup: of a terminal, of HTML, of plotly or of matplotlib."""

from __future__ import annotations

import ast
import dataclasses
import html
import io
import re
from pathlib import Path

import pytest
import torch
from optuna.trial import create_trial

import sweeps
from hsplid_core.data.batch import Batch
from sweeps.data_sets.progress_bar import ProgressBar
from sweeps.outputs import write_report
from sweeps.plots.front_plotly import interactive_front
from sweeps.plots.front_png import front_figure
from sweeps.plots.front_points import make_picture
from sweeps.plots.saliency_rows import draw_maps
from sweeps.spec.objective import Objective
from sweeps.terminal.closing_lines import print_closing_lines
from sweeps.terminal.plain_console import plain_console
from sweeps.terminal.trial_table import rich_table
from sweeps.tracking.mlflow_client import legal, make_metrics
from tests.sweeps.records import GOALS, complete, failed
from tests.sweeps.reports import made_up
from tests.sweeps.studies import cloud_study, failed_trial

MARKUP = "[bold]a[/] [red]b :dog: <b>c</b> & $x_1$ </script>"
RECORDS = [complete(0, 0.8, 0.3), complete(1, 0.7, 0.5), failed(2, MARKUP)]


def printed(show: object, *, capsys: pytest.CaptureFixture[str]) -> str:
    plain_console(width=400).print(show)
    return capsys.readouterr().out


def test_every_console_prints_text_as_it_is() -> None:
    calls = [
        (file, {word.arg: ast.unparse(word.value) for word in node.keywords})
        for file in Path(sweeps.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("Console", "TextColumn", "rich.console.Console")
    ]
    assert len(calls) == 4
    for file, words in calls:
        assert words["markup"] == "False", file


def test_paths_and_reasons_in_the_closing_lines_are_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "[bold]runs[/]" / ":dog:" / "<b>"
    goals = (Objective(metric=f"Own/{MARKUP}"), GOALS[1])
    print_closing_lines(
        plain_console(width=400),
        RECORDS,
        goals,
        folder,
        interface=f"python -m sweeps.ui {folder}",
        is_demo=True,
        interrupted=True,
        start=None,
        masks="the object covers 12.5% of the pixels",
    )
    text = capsys.readouterr().out
    assert "Masks   the object covers 12.5% of the pixels\n" in text
    assert f"Report  {folder}/report.html\n" in text
    assert f"MLflow  python -m sweeps.ui {folder}\n" in text
    assert f"1 failed (trial 2): {MARKUP}" in text
    assert "script>" in text  # the metric's last part heads its column


def test_titles_heads_and_cells_of_tables_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    table = rich_table(f"title {MARKUP}", [f"head {MARKUP}", "n"], [[f"cell {MARKUP}", "1"]])
    text = printed(table, capsys=capsys)
    for part in ("title", "head", "cell"):
        assert f"{part} {MARKUP}" in text


def test_a_task_is_told_in_its_own_words() -> None:
    console = plain_console(width=400)
    console.file = io.StringIO()
    with ProgressBar(console=console) as view:
        view.show(f"reading {MARKUP}", 3, 3)
    assert f"reading {MARKUP}: 3 of 3" in console.file.getvalue()


def test_the_report_shows_names_and_descriptions_as_text(tmp_path: Path) -> None:
    study = cloud_study(12)
    named = {goal.metric: 0.9 for goal in GOALS} | {f"Own/{MARKUP}": 1.0}
    told = {"parameters": {f"method.{MARKUP}": MARKUP}, "metrics": named, "seconds": 1.0}
    study.add_trial(create_trial(values=[0.9, 0.9], user_attrs=told))
    study.add_trial(failed_trial(MARKUP))
    sweep = made_up(study, tmp_path / "[bold]<b>")
    assert sweep.info is not None
    spec = sweep.info.spec.model_copy(update={"description": MARKUP})
    info = dataclasses.replace(sweep.info, spec=spec, tags={"host": MARKUP})
    text = write_report(dataclasses.replace(sweep, info=info)).read_text()
    shown = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert html.escape(MARKUP) in shown.replace("&#34;", "&quot;")
    assert "<b>" not in shown
    # As many scripts end as begin: none of them was ended by a name.
    assert len(re.findall(r"<script[ >]", text)) == text.count("</script>")


def test_names_in_interactive_charts_are_text() -> None:
    goals = (Objective(metric=f"Own/<b>{MARKUP}"), GOALS[1])
    figure = interactive_front(make_picture(RECORDS, goals, None, 0), goals, {})
    assert "script&gt;" in figure.layout.xaxis.title.text
    texts = [text for trace in figure.data for text in trace.hovertext or ()]
    assert len(texts) >= 2
    assert all("script&gt;: <b>" in text for text in texts)


@pytest.mark.parametrize("name", ["$", "$x_1$", r"$\frac$", MARKUP])
def test_a_dollar_in_a_picture_begins_no_formula(name: str) -> None:
    front_figure(RECORDS, GOALS, title=name).savefig(io.BytesIO())
    image = torch.rand(1, 3, 8, 8)
    zero = torch.zeros(1, dtype=torch.long)
    batch = Batch(image=image, target=zero, mask=None, index=zero)
    figure = draw_maps(batch, {"gradient": image[:, 0]}, [name], title=name)
    figure.savefig(io.BytesIO())
    assert figure.axes[0].get_ylabel() == name


def test_mlflow_takes_any_name_of_a_metric() -> None:
    (metric,) = make_metrics({f"Own/{MARKUP}": 0.5}, step=1, time_ms=1)
    assert re.fullmatch(r"[\w\-. :/]+", metric.key)
    assert metric.key == legal(f"Own/{MARKUP}")
