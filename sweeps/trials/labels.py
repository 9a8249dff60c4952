"""Labels of metrics and parameters, as people read them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue

_METRICS = {
    "val/accuracy": "clean accuracy",
    "val/robust_accuracy": "robust accuracy",
    "hsplid/salient_dims": "salient dims",
}
# What all trials of a sweep begin from. It is no baseline of the same length: trials train on top
# of it, and `sweeps.confirm` trains cross-entropy for as long.
START_LABEL = "pretrained start"

# Metrics of a trial that was trained under several seeds: how many, and the standard deviation of
# each of its other metrics, which are means.
N_SEEDS = "seeds"
DEVIATION = "sd/{}"

_ABBREVIATIONS = {"learning_rate": "lr", "weight_decay": "decay"}
# Names that say nothing without their method's.
_NEED_THEIR_SECTION = ("weight", "epsilon", "kind", "mode")


def metric_label(metric: str) -> str:
    """Return a metric's name in words."""
    return _METRICS.get(metric, metric.rpartition("/")[2].replace("_", " "))


def is_share(metric: str) -> bool:
    """Tell whether a metric is a share of one, best read in percent."""
    return metric.endswith("accuracy")


def metric_text(metric: str, value: float | None) -> str:
    """Write a metric's value for people: accuracies in percent, other values in four digits."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.1%}" if is_share(metric) else f"{value:.4g}"


def deviation_text(metrics: Mapping[str, float], metric: str) -> str:
    """Write the standard deviation over a trial's seeds, `` ± 2.1 (3 seeds)``; empty for one."""
    deviation = metrics.get(DEVIATION.format(metric))
    if deviation is None:
        return ""
    text = f"{100 * deviation:.1f}" if is_share(metric) else f"{deviation:.2g}"
    return f" ± {text} ({metrics[N_SEEDS]:.0f} seeds)"


def number_text(value: float) -> str:
    """Write a number in few characters, with two digits or more: 0.5, 5e-4, 120, 1.2e6."""
    if value != 0 and math.isfinite(value) and not 1e-2 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def value_text(value: ParameterValue, *, digits: int | None = None) -> str:
    """Write a parameter's value as in a spec.

    Args:
        value: The value.
        digits: Significant digits of a float; None writes it in as few characters as is sensible.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number_text(value) if digits is None else f"{value:.{digits}g}"
    return str(value)


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Shorten dotted paths to their last component, or the last two where that is not enough."""
    paths = list(paths)
    last = {path: path.rpartition(".")[2] for path in paths}
    uses = Counter(last.values())
    return {
        path: _ABBREVIATIONS.get(name, name)
        if uses[name] == 1 and name not in _NEED_THEIR_SECTION
        else ".".join(path.split(".")[-2:])
        for path, name in last.items()
    }


def differing_parameters(records: Sequence[TrialRecord]) -> dict[str, str]:
    """Find the parameters that tell trials apart, as dotted path to short name."""
    paths = sorted({path for record in records for path in record.parameters})
    missing = object()
    return short_names(
        path
        for path in paths
        if len(records) == 1
        or len({repr(record.parameters.get(path, missing)) for record in records}) > 1
    )


def shared_parameters(records: Sequence[TrialRecord]) -> list[str]:
    """List the parameters that tell complete trials apart and that all of them have."""
    complete = [record for record in records if record.values is not None]
    return [
        path
        for path in differing_parameters(complete)
        if all(path in record.parameters for record in complete)
    ]


def parameters_text(parameters: Mapping[str, ParameterValue], names: Mapping[str, str]) -> str:
    """Write parameters in one line, such as ``rho_s=0.5 lr=5e-4``.

    Args:
        parameters: A trial's parameters by dotted path.
        names: The ones to show, dotted path to short name; what is off in this trial (0, null or
            ``off``) is left out, because it only hides what is on.
    """
    parts = [
        f"{name}={value_text(parameters[path])}"
        for path, name in names.items()
        if path in parameters and not _is_off(parameters[path])
    ]
    return " ".join(parts)


def _is_off(value: ParameterValue) -> bool:
    # False is a choice of its own (hard_split=false), not an absence.
    return not isinstance(value, bool) and value in (0, None, "off")


def warnings_text(record: TrialRecord) -> str:
    """Name the reasons to distrust a trial, ``warned: zero gradients``; empty without one."""
    codes = ", ".join(sorted(record.warnings)).replace("_", " ")
    return f"warned: {codes}" if codes else ""


def duration_text(seconds: float) -> str:
    """Write a duration as precisely as is of use: 42 s, 3 min 05 s, 25 min, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest:02d} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min"


def counts_text(counts: Mapping[str, int]) -> str:
    """Write how often what occurred: ``2 diverged, 1 out of memory``."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())
