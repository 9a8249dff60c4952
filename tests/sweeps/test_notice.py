"""Notices of a sweep's end: to a command, to a webhook, and what goes wrong with them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hsplid_core.errors import ConfigError, DataError
from sweeps.run import main
from sweeps.spec.loading import load_spec
from sweeps.spec.notify_spec import NotifySpec
from sweeps.spec.overrides import parse_overrides
from sweeps.terminal.notice import check_notice, send_notice


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a webhook has got; its URL is in TEST_HOOK. At the path /no it refuses."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("TEST_HOOK", f"http://127.0.0.1:{server.server_port}/secret")
        yield got
        server.shutdown()


def test_a_command_and_a_webhook_get_the_message(hook: list[str], tmp_path: Path) -> None:
    file = tmp_path / "told.txt"
    command = f"sh -c 'cat > {file}; echo $SWEEP_NAME $SWEEP_STATE >> {file}'"
    notify = NotifySpec(command=command, webhook="TEST_HOOK")
    check_notice(notify)
    send_notice(notify, sweep="tiny", state="finished", text="3 of 3 trials complete")
    assert file.read_text() == "tiny finished: 3 of 3 trials complete\ntiny finished\n"
    assert [json.loads(each) for each in hook] == [
        {"text": "tiny finished: 3 of 3 trials complete"}
    ]


def test_what_goes_wrong_is_a_line_and_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEST_HOOK", "http://127.0.0.1:9/secret")
    notify = NotifySpec(command="no-such-command", webhook="TEST_HOOK")
    send_notice(notify, sweep="tiny", state="failed", text="no memory")
    command, webhook = capsys.readouterr().err.splitlines()
    assert command.startswith("notify.command did not work (FileNotFoundError: ")
    assert webhook == "notify.webhook did not work (ConnectionError)"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "webhook=https://hooks.slack.com/services/x",
            "notify.webhook is a URL: name the environ",
        ),
        ("""command='mail "x'""", 'notify.command is mail "x, which is no command (No closing'),
        ("comand=x", "did you mean notify.command?"),
    ],
)
def test_a_wrong_recipient_is_told_in_one_line(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_spec("coco_hsplid", parse_overrides([f"notify.{override}"]))
    _, line = str(caught.value).splitlines()
    assert says in line
    assert "hooks.slack.com" not in line


def test_a_webhook_without_its_variable_is_told_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="there is no such environment variable"):
        check_notice(NotifySpec(webhook="NO_SUCH_HOOK"))


def test_a_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise DataError("folder /coco does not exist")

    monkeypatch.setattr("sweeps.engine.run_sweep", fails)
    file = tmp_path / "told.txt"
    assert main(["coco_hsplid", f"notify.command=sh -c 'cat > {file}'"]) == 2
    assert file.read_text() == "coco_hsplid failed: folder /coco does not exist\n"
