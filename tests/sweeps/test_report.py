from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

import optuna
import pyarrow as pa
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState as TrialStates
from optuna.trial import create_trial
from playwright.sync_api import Browser, Page, expect

from search_spaces import SWITCH_PREFIX
from sweeps.fronts.importances import HYPERVOLUME, Importances
from sweeps.fronts.indicators import hypervolume, points_of
from sweeps.fronts.selection import select
from sweeps.outputs import figures, front_section, parameter_figures, sections, write_report
from sweeps.outputs.cost import hypervolume_history
from sweeps.outputs.live_report import LiveReport
from sweeps.outputs.robust_curves import robust_curves
from sweeps.outputs.running_section import running_section, standing_text
from sweeps.plots.front_points import FRONT_COLOUR
from sweeps.report import main
from sweeps.study.stored_sweep import StoredSweep, open_sweep
from sweeps.study.sweep_info import command_again
from sweeps.trials.learning_curves import CURVES_FILE, CurveWriter, read_curves
from sweeps.trials.record import TrialRecord, TrialState
from sweeps.trials.table_file import write_table
from tests.sweeps.records import GOALS
from tests.sweeps.reports import chromium, made_up
from tests.sweeps.studies import cloud_study, complete_trial, failed_trial, write_study

LINK = "http://127.0.0.1:5000/#/experiments/1/runs/r{}"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> StoredSweep:
    return made_up(cloud_study(60), tmp_path_factory.mktemp("runs") / "coco_hsplid")


@pytest.fixture(scope="module")
def page_file(sweep: StoredSweep) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        links = {record.number: LINK.format(record.number) for record in sweep.records}
        patch.setattr(sections, "trial_pages", lambda *_args, **_kwargs: links)
        sweep.study.set_user_attr("sweep_id", "s")
        writer = CurveWriter(sweep.folder, sweep.objectives)
        for epoch in (1, 2):
            for number in range(9):
                writer.epoch_finished(number, epoch, dict.fromkeys(writer.metrics, 0.1 * epoch))
        return write_report(sweep)


def test_the_history_ends_at_the_hypervolume_and_counts_hours(sweep: StoredSweep) -> None:
    selection = select(sweep.records, GOALS)
    history = hypervolume_history(sweep.study, selection, {"cpu": 2.0, "gpu": 0.0})
    assert history.hypervolumes[-1] == pytest.approx(selection.hypervolume)
    first_ten = [selection.records[number] for number in history.numbers[:10]]
    assert history.hypervolumes[9] == pytest.approx(
        hypervolume(points_of(first_ten, GOALS), selection.reference, GOALS)
    )
    assert list(history.hours) == sorted(history.hours)
    assert history.device == "CPU core"
    spent = sum(record.seconds or 0 for record in sweep.records) * 2 / 3600
    assert history.device_hours[-1] == pytest.approx(spent, rel=0.05)
    on_gpu = hypervolume_history(sweep.study, selection, {"cpu": 2.0, "gpu": 0.5})
    assert on_gpu.device == "GPU"
    assert on_gpu.device_hours[-1] == pytest.approx(history.device_hours[-1] / 4)


def test_only_parameters_that_differ_have_axes_and_a_switch_gives_way_to_its_parameter() -> None:
    kinds: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1) for name in "ab"}
    kinds[f"{SWITCH_PREFIX}b"] = CategoricalDistribution([True, False])
    study = optuna.create_study(directions=["maximize", "maximize"])
    for a, b in ((0.5, 0.1), (0.5, 0.2), (0.5, None)):
        own = {"a": a, f"{SWITCH_PREFIX}b": b is not None} | ({} if b is None else {"b": b})
        known = {name: kind for name, kind in kinds.items() if name in own}
        study.add_trial(create_trial(params=own, distributions=known, values=[a, b or 0.0]))
    found = Importances(shares={}, warning=None)
    assert parameter_figures.telling_parameters(study, found) == ["b"]
    shares = {HYPERVOLUME: {"a": 1.0}}
    important = dataclasses.replace(found, shares=shares)
    assert parameter_figures.telling_parameters(study, important) == ["b"]


def test_dominated_trials_are_seen_beside_the_front(sweep: StoredSweep) -> None:
    selection = select(sweep.records, GOALS)
    figure = parameter_figures.parallel_figure(
        sweep.study, selection, ["training.learning_rate", "method.hsplid.rho_s"]
    )
    assert figure is not None
    colours = [trace.line.color for trace in figure.data if trace.mode == "lines"]
    assert colours.count(FRONT_COLOUR) == len(selection.front)
    assert set(colours[-len(selection.front) :]) == {FRONT_COLOUR}  # drawn above the others
    greys = {int(colour[1:3], 16) for colour in colours if colour != FRONT_COLOUR}
    assert max(greys) <= 0xB4  # on white


def test_slices_and_contours_have_the_objectives_of_feasible_trials(sweep: StoredSweep) -> None:
    selection = select(sweep.records, GOALS)
    names = ["training.learning_rate", "method.hsplid.rho_s", "method.hsplid.hsic_warmup"]
    sliced = parameter_figures.slice_figure(sweep.study, selection, names, 1)
    contour = parameter_figures.contour_figure(sweep.study, selection, names, 1)
    assert sliced is not None
    assert contour is not None
    values = {record.number: record.values for record in selection.records if record.values}
    first = sliced.data[0]  # categories come first, so of the parameters by name
    assert set(first.y) <= {each[1] for each in values.values()}
    assert set(first.marker.color) <= set(values)
    assert sum(len(trace.x) for trace in contour.data[1:]) <= parameter_figures.MOST_IN_CONTOUR


def test_learning_curves_are_whole_after_a_kill(tmp_path: Path) -> None:
    writer = CurveWriter(tmp_path, GOALS)
    writer.epoch_finished(0, 1, {"val/accuracy": 0.5, "train/loss": 2.0})
    writer.epoch_finished(1, 1, {"train/loss": 2.0})  # robustness is not due in this epoch
    with (tmp_path / CURVES_FILE).open("a") as file:
        file.write('{"trial": 0, "epo')  # the driver was killed
    again = CurveWriter(tmp_path, GOALS)
    again.sweep_started([])
    for epoch, value in ((2, 0.6), (1, 0.55)):  # told again after a resume
        again.epoch_finished(0, epoch, {"val/accuracy": value})
    assert read_curves(tmp_path) == {0: {1: {"val/accuracy": 0.55}, 2: {"val/accuracy": 0.6}}}
    assert read_curves(tmp_path / "earlier") == {}


def test_early_stopping_is_marked_where_it_cut(tmp_path: Path) -> None:
    curves = {n: {e: {"val/accuracy": 0.1 * e} for e in range(1, n + 2)} for n in range(3)}
    states: list[TrialState] = ["stopped", "complete", "running"]
    records = [
        TrialRecord(number=n, state=s, parameters={}, on_front=n == 1)
        for n, s in enumerate(states)
    ]
    figure = figures.learning_curves_figure(curves, records, GOALS[0])
    drawn = {trace.name: trace for trace in figure.data}
    assert set(drawn) == {"stopped (1)", "stopped early", "running (1)", "on the front (1)"}
    (x,), (y,) = drawn["stopped early"].x, drawn["stopped early"].y
    assert (x, y) == (1, pytest.approx(0.1))
    assert list(drawn["running (1)"].x[:-1]) == [1, 2, 3]


@pytest.mark.parametrize(("epochs", "mode"), [([6], "lines+markers"), (range(6), "lines")])
def test_what_is_measured_once_is_a_point(epochs: Sequence[int], mode: str) -> None:
    curves = {n: {e: {"val/accuracy": 0.1 * e} for e in epochs} for n in range(3)}
    records = [TrialRecord(number=n, state="complete", parameters={}) for n in range(3)]
    figure = figures.learning_curves_figure(curves, records, GOALS[0])
    assert [trace.mode for trace in figure.data] == [mode]


def test_curves_are_read_from_metrics() -> None:
    metrics = {
        "val/accuracy": 0.9,
        "val/robust_accuracy": 0.5,
        "val/robust_accuracy/pgd/background/eps_2": 0.4,
        "val/robust_accuracy/pgd/background/eps_0.5": 0.6,
        "val/robust_accuracy/pgd/full/eps_2": 0.1,
        "val/robust_accuracy/aa/apgd/full/l2_0.25": 0.2,
    }
    norm, background, full = robust_curves("trial 1", metrics)
    assert (norm.attack, norm.unit, norm.epsilons) == ("aa/apgd", "L2 norm", (0.0, 0.25))
    assert background.unit == "1/255"
    assert background.epsilons == (0.0, 0.5, 2.0)
    assert background.robust == (0.9, 0.6, 0.4)
    assert (full.region, full.robust) == ("full", (0.9, 0.1))


def test_the_page_holds_everything_itself(page_file: Path) -> None:
    loaded: list[str] = []
    links: list[str] = []

    class Sources(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            loaded.extend(filter(None, (given.get("src"),)))
            if tag == "link":
                loaded.append(given["href"] or "")
            elif "href" in given:
                links.append(given["href"] or "")

    text = page_file.read_text()
    Sources().feed(text)
    assert all(source.startswith("data:") for source in loaded)
    assert all(link.startswith(("#", "http://127.0.0.1:5000/")) for link in links)
    assert text.count("plotly.js v") == 1


def test_the_page_says_what_was_run_and_how_to_run_it_again(
    sweep: StoredSweep, page_file: Path
) -> None:
    text = re.sub(r"<script.*?</script>", "", page_file.read_text(), flags=re.S)
    assert sweep.info is not None
    shown = (
        f'<pre class="command" tabindex="0">python -m sweeps.ui {sweep.folder} --port 5000</pre>'
    )
    assert shown in text
    command = command_again(sweep.folder, sweep.info)
    assert command.endswith("coco_hsplid/spec.yaml --fresh method.hsplid.rho_n=0.1")
    for said in (command, "DEMO data", "f" * 40, "0123abcd", "beta_update_fraction", "2.15.0"):
        assert said in text
    assert "CUDA out of memory in epoch 2 (and 1 like it)" in text
    assert "of 56 complete trials that is 6" not in text  # enough trials
    assert "Checkpoints of trials" in text


def test_the_start_is_found_from_a_confirmations_folder_too(tmp_path: Path) -> None:
    write_study(tmp_path / "coco_pretrain-abc", [complete_trial((0.7, 0.2))])
    folder = tmp_path / "coco_hsplid" / "confirm" / "coco_hsplid-seed-1"
    sweep = made_up(cloud_study(3), folder, tmp_path / "pretrained" / "abc.pt")
    assert sections._start_metrics(sweep)["val/robust_accuracy"] == 0.2


def test_a_front_below_its_start_is_told_on_the_page(tmp_path: Path) -> None:
    study = optuna.create_study(directions=["maximize", "maximize"])
    study.add_trials([complete_trial((0.542, 0.25)), complete_trial((0.5, 0.2))])
    sweep = made_up(study, tmp_path / "below")
    assert sweep.info is not None
    info = dataclasses.replace(sweep.info, baseline=(0.625, 0.229))
    text = write_report(dataclasses.replace(sweep, info=info)).read_text()
    assert "No trial dominates the pretrained start (clean accuracy 62.5%, robust" in text
    assert "hypervolume of 0.143 is above the front&#39;s 0.136: the sweep ended below" in text
    (row, whole) = re.findall(r"<tr><th[^>]*>start</th>.*?</tr>", text, flags=re.S)
    assert "62.5%" in row
    assert "22.9%" in whole
    assert "cross-entropy baseline" not in text


def test_new_seeds_are_drawn_where_a_confirmation_knows_them(tmp_path: Path) -> None:
    sweep = made_up(cloud_study(9), tmp_path / "confirmed")
    rows = [
        {"configuration": "trial 1", "seed": s, "split": "val", "measure": g.metric, "value": v}
        for s, values in ((1, (0.6, 0.2)), (2, (0.8, 0.4)))
        for g, v in zip(GOALS, values, strict=True)
    ]
    write_table(pa.Table.from_pylist(rows), sweep.folder / "confirm" / "confirm.parquet")
    (spread,) = front_section._seed_spreads(sweep, select(sweep.records, GOALS))
    assert spread.name == "trial 1"
    assert spread.mean == pytest.approx((0.7, 0.3))
    assert spread.sd == pytest.approx((0.02**0.5, 0.02**0.5))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def opened(browser: Browser, file: Path) -> tuple[Page, list[str]]:
    """Open a page from disk, wait until its charts are drawn, and collect what goes wrong."""
    page = browser.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    return page, [fault for fault in faults if fault != file.as_uri() and fault[:5] != "data:"]


@pytest.mark.parametrize("content", [b"", b"[]", b"PAR1", b"\xff" * 50, b'{"schema_version": 1}'])
def test_a_damaged_confirmation_is_told_on_the_page(content: bytes, tmp_path: Path) -> None:
    sweep = made_up(cloud_study(10), tmp_path / "coco_hsplid")
    folder = sweep.folder / "confirm"
    folder.mkdir(parents=True)
    for name in ("confirm.json", "confirm.parquet"):
        (folder / name).write_bytes(content)
    page = write_report(sweep).read_text()
    assert "confirm.json is damaged (" in page
    assert "python -m sweeps.confirm writes it anew" in page


def test_a_browser_draws_it_without_a_complaint(browser: Browser, page_file: Path) -> None:
    page, faults = opened(browser, page_file)
    assert faults == []
    charts = page.locator(".chart:not(.drawing .chart)")
    # Front, two histories, two of learning curves, parameters, importances, robust accuracies.
    assert charts.count() == 8
    for position in range(charts.count()):
        expect(charts.nth(position).locator("svg.main-svg").first).to_be_visible()
    # Slices and contours of two objectives are drawn when they are opened.
    folded = page.locator(".drawing")
    assert folded.locator("svg").count() == 0
    for position in range(folded.count()):
        folded.nth(position).locator("summary").press("Enter")
        expect(folded.nth(position).locator("svg.main-svg").first).to_be_visible()
    assert folded.count() == 4
    assert faults == []
    assert page.locator("table").count() >= 8
    page.close()


def test_hover_shows_parameters_and_a_click_opens_the_run(
    browser: Browser, page_file: Path, sweep: StoredSweep
) -> None:
    page, _ = opened(browser, page_file)
    page.context.route("http://127.0.0.1:5000/**", lambda route: route.fulfill(body="the run"))
    front = page.locator("#front .chart")
    front.scroll_into_view_if_needed()
    knee = select(sweep.records, GOALS).knee
    place = front.evaluate(
        """(chart, name) => {
          const {xaxis, yaxis} = chart._fullLayout, box = chart.getBoundingClientRect();
          const trace = chart.data.find((each) => each.name === "Pareto front");
          const full = chart._fullData[chart.data.indexOf(trace)];
          const at = Array.from(full.text).indexOf(name);
          return [box.x + xaxis._offset + xaxis.l2p(full.x[at]),
                  box.y + yaxis._offset + yaxis.l2p(full.y[at])];
        }""",
        str(knee),
    )
    page.mouse.move(*place)
    label = front.locator(".hoverlayer .hovertext")
    expect(label).to_contain_text(f"trial {knee}")
    expect(label).to_contain_text("training.learning_rate = ")
    with page.context.expect_page() as told:
        page.mouse.click(*place)
    assert told.value.url == LINK.format(knee)
    told.value.close()
    page.close()


def test_a_long_table_is_built_when_it_is_opened(browser: Browser, tmp_path: Path) -> None:
    file = write_report(made_up(cloud_study(120), tmp_path / "many"))
    page, faults = opened(browser, file)
    assert faults == []
    whole = page.locator("#front details")
    assert whole.locator("tr").count() == 0
    whole.locator("summary").press("Enter")
    expect(whole.locator("tbody tr")).to_have_count(121)  # and the start
    expect(whole.get_by_role("region", name="All trials")).to_be_visible()
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_text_is_legible(
    browser: Browser, page_file: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(page_file.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = page.evaluate(
        "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
    )
    axis = page.locator("#front .chart .xtick text").first.evaluate(
        "t => getComputedStyle(t).fill"
    )
    assert axis == ink
    assert contrast(ink, paper) > 7
    page.close()


def contrast(first: str, second: str) -> float:
    """Return WCAG's ratio of contrast of two colours, as rgb(r, g, b)."""
    levels = sorted(_luminance(colour) for colour in (first, second))
    return (levels[1] + 0.05) / (levels[0] + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_paper_is_white_also_for_who_reads_in_the_dark(browser: Browser, page_file: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(page_file.as_uri())
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    page.emulate_media(media="print")
    body = "getComputedStyle(document.body)"
    assert page.evaluate(f"{body}.backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(f"{body}.color") == "rgb(0, 0, 0)"
    expect(page.locator("#front .chart .xtick text").first).to_have_css("fill", "rgb(0, 0, 0)")
    expect(page.locator("nav")).to_be_hidden()
    page.close()


def test_the_command_writes_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path / "cloud", cloud_study(5).trials)
    output = tmp_path / "new" / "sweep.html"
    assert main(["cloud", f"storage={tmp_path}", f"--output={output}"]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    text = output.read_text()
    assert "too few trials: importances ask" in text
    assert "Importance of the searched parameters" not in text
    assert [file.name for file in output.parent.iterdir()] == ["sweep.html"]


def test_a_running_sweep_is_marked_and_reloads_and_its_last_page_is_not(tmp_path: Path) -> None:
    write_study(tmp_path / "cloud", cloud_study(5).trials)
    record = open_sweep(str(tmp_path / "cloud")).records[-1]
    early = LiveReport(tmp_path / "cloud")
    early.trial_finished(record)
    assert early.wait() is None
    live = LiveReport(tmp_path / "cloud", first_s=0.0)
    live.trial_finished(record)
    assert live.wait() == 0
    text = (tmp_path / "cloud" / "report.html").read_text()
    assert '<meta http-equiv="refresh" content="60">' in text
    assert "<strong>Running.</strong> 5 of 5 trials have ended." in text
    live.trial_finished(record)  # a moment later: not again
    assert live.wait() is None
    live.stop()
    last = write_report(open_sweep(str(tmp_path / "cloud"))).read_text()
    assert "refresh" not in last.partition("<script")[0]
    assert "Running." not in last


def test_running_trials_are_listed_with_how_far_they_are(tmp_path: Path) -> None:
    study = cloud_study(8)
    parameters = {"training.learning_rate": 1e-3}
    attributes = {"parameters": parameters, "attempts": 2}
    study.add_trial(create_trial(state=TrialStates.RUNNING, user_attrs=attributes))
    study.add_trial(create_trial(state=TrialStates.RUNNING))  # waits for a worker
    sweep = made_up(study, tmp_path / "live")
    assert sweep.info is not None
    spec = sweep.info.spec.model_copy(update={"trials": 12})
    sweep = dataclasses.replace(sweep, info=dataclasses.replace(sweep.info, spec=spec))
    writer = CurveWriter(sweep.folder, sweep.objectives)
    writer.epoch_finished(8, 3, {"val/accuracy": 0.625})
    section = running_section(sweep)
    assert section is not None
    ((row,),) = (table.rows for table in section.tables)
    assert [cell.text for cell in row] == ["8", "3 of 20", "62.5%", "-", "2", "lr=1e-3"]
    # Trials of 36 s: one has 17 of its 20 epochs to go, and three wait.
    seconds = [record.seconds or 0.0 for record in sweep.records if record.state == "complete"]
    assert (3 + 17 / 20) * sum(seconds) / len(seconds) == pytest.approx(137, abs=1)
    told = r"8 of 12 trials have ended, 1 min 4\d s to 2 min 5\d s left"
    assert re.fullmatch(told, standing_text(sweep))
    assert running_section(made_up(cloud_study(3), tmp_path / "ended")) is None


def test_a_sweep_without_a_complete_trial_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path / "hopeless", [failed_trial("no memory")])
    assert main(["hopeless", f"storage={tmp_path}"]) == 2
    assert "all 1 trials failed (no memory)" in capsys.readouterr().err
