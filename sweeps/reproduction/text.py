"""Tables of claims as text: in a terminal, as JSON, and as a part of RESULTS.md."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from hsplid_core.errors import ConfigError
from hsplid_core.files import replace_text
from sweeps.reproduction.results import ClaimResult
from sweeps.reproduction.rows import CLAIMS_FILE, Number
from sweeps.reproduction.verdicts import Finding, Verdict

RESULTS_FILE = CLAIMS_FILE.parent / "RESULTS.md"
HEADER = ("number", "measured", "95% interval", "by seed", "paper", "reproduced if", "verdict")
_HEADING = "## Claims of the papers"
_TITLE = re.compile(r"^### `(\w+)`, (\w+) scale: (.+)$", re.MULTILINE)
_OVERVIEW = re.compile(r"(<!-- overview -->\n).*?(<!-- end of overview -->)", re.DOTALL)


def number_text(number: Number, value: float | None) -> str:
    """Write a value as its row wants it: in percent, or in three digits."""
    if value is None:
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{100 * value:.1f}%" if number.percent else f"{value:.3g}"


def finding_cells(finding: Finding) -> tuple[str, ...]:
    """Write a finding under the names of :data:`HEADER`."""
    number, found = finding.number, finding.spread
    interval = "-"
    if found is not None and found.low is not None:
        ends = (number_text(number, found.low), number_text(number, found.high))
        interval = " to ".join(ends)
    limits = [
        f"{word} {number_text(number, limit)}"
        for word, limit in (("above", number.above), ("below", number.below))
        if limit is not None
    ]
    published = number_text(number, number.paper)
    return (
        number.name,
        number_text(number, None if found is None else found.mean),
        interval,
        ", ".join(number_text(number, value) for value in finding.by_seed.values()) or "-",
        f"{published} ({number.place})" if number.place else published,
        " and ".join(limits),
        " ".join(
            [finding.verdict or "", f"({finding.lacking})" if finding.lacking else ""]
        ).strip(),
    )


def as_text(result: ClaimResult) -> str:
    """Write a result for a terminal."""
    claim = result.claim
    lines = [f"{claim.paper}, {claim.section}", claim.claim, ""]
    for finding in result.findings:
        name, mean, interval, by_seed, paper, limits, verdict = finding_cells(finding)
        lines.append(name)
        told = f"  {mean}, interval {interval} (by seed {by_seed}); paper {paper}"
        lines.append(f"{told}; {limits}: {verdict}" if limits else told)
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join([*lines, "", f"{result.name}, {result.scale} scale: {result.verdict}", ""])


def as_json(result: ClaimResult) -> str:
    """Write a result as a line of JSON."""
    numbers = [
        {
            "name": finding.number.name,
            "mean": None if finding.spread is None else finding.spread.mean,
            "low": None if finding.spread is None else finding.spread.low,
            "high": None if finding.spread is None else finding.spread.high,
            "by_seed": dict(finding.by_seed),
            "paper": finding.number.paper,
            "verdict": finding.verdict,
        }
        for finding in result.findings
    ]
    return (
        json.dumps(
            {
                "event": "claim",
                "claim": result.name,
                "scale": result.scale,
                "verdict": result.verdict,
                "seeds": result.seeds,
                "code": result.code,
                "notes": list(result.notes),
                "numbers": numbers,
            }
        )
        + "\n"
    )


def command_of(result: ClaimResult) -> str:
    """Return the command that brings a result; FOLDER stands for where the data lie."""
    words = ["python", "-m", "sweeps.claims", "run", result.name, "--scale", result.scale]
    return shlex.join([*words, "--seeds", str(len(result.seeds))]) + " data.root=FOLDER"


def code_text(result: ClaimResult) -> str:
    """Say with which code a result came about: equal digits are equal files of code."""
    if result.code is None:
        return "Its runs were trained with several states of the code."
    return f"Code {result.code}."


def _part(result: ClaimResult) -> str:
    claim = result.claim
    table = [HEADER, ("---",) * len(HEADER), *map(finding_cells, result.findings)]
    return "\n".join(
        [
            f"### `{result.name}`, {result.scale} scale: {result.verdict}",
            "",
            f"{claim.paper}, {claim.section}. {claim.claim}",
            "",
            f"    {command_of(result)}",
            "",
            f"FOLDER holds {claim.data_at(result.scale)}. "
            f"Seeds {', '.join(map(str, result.seeds))}. {code_text(result)} "
            f"{claim.scales[result.scale].note}",
            "",
            *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in table),
            *(["", claim.seen] if claim.seen else []),
            *(["", "; ".join(result.notes)] if result.notes else []),
        ]
    )


def write_results(results: Sequence[ClaimResult], file: Path | None = None) -> Path:
    """Put results into their part of RESULTS.md; all else there stays as it is.

    Where the file has the marks of an overview, the verdicts of all its parts are listed there. A
    claim of which this storage has no trial keeps the part that it has. Demo data show nothing
    about a claim, and are left out.

    Args:
        results: What was found.
        file: Instead of the one beside the rows; made where it is not there.

    Returns:
        The file.

    Raises:
        ConfigError: The file cannot be read or written.
    """
    path = file or RESULTS_FILE
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else "# Results\n"
        for result in results:
            if not result.is_demo:
                text = _with_part(text, f"{result.name} {result.scale}", _part(result))
        replace_text(path, _with_overview(text))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be rewritten ({error}): name a file, --results"
        ) from error
    return path


def _with_part(text: str, key: str, part: str) -> str:
    begin, end = f"<!-- claim {key} -->", f"<!-- end of claim {key} -->"
    whole = f"{begin}\n{part}\n{end}"
    known = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if known.search(text):
        return known.sub(lambda _: whole, text)
    if _HEADING not in text:
        text = f"{text.rstrip()}\n\n{_HEADING}\n"
    head, heading, rest = text.partition(_HEADING)
    # Below what the part's last claim ends with, or the words under the heading.
    place = max(
        (found.end() for found in re.finditer(r"<!-- end of claim .*? -->\n?", rest)), default=-1
    )
    if place < 0:
        following = rest.find("\n## ")
        place = len(rest) if following < 0 else following
    return f"{head}{heading}{rest[:place].rstrip()}\n\n{whole}\n{rest[place:]}"


def _with_overview(text: str) -> str:
    parts = _TITLE.findall(text)
    lines = []
    for verdict in get_args(Verdict):
        names = [
            f"`{name}`" if scale == "small" else f"`{name}` ({scale} scale)"
            for name, scale, told in parts
            if told == verdict
        ]
        lines.append(f"- {verdict} ({len(names)}): {', '.join(names) or 'none'}\n")
    return _OVERVIEW.sub(lambda found: f"{found[1]}{''.join(lines)}{found[2]}", text)
