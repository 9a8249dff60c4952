"""Trials that do nothing, in workers that import what those of a sweep do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import tune

from trainables.result_keys import ASSIGNMENT, ENDED, METRICS, TRIAL_SECONDS


def metrics_at(x: float, y: float, epoch: int = 1) -> dict[str, float]:
    """Make an epoch's metrics: two objectives in conflict."""
    return {
        "epoch": float(epoch),
        "val/accuracy": x * (1 - y) - 1 / epoch,
        "val/robust_accuracy": 1 - x,
    }


class NoOp(tune.Trainable):
    """A trial of one epoch that takes no time."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the parameters, from either of the two searchers."""
        given = config[ASSIGNMENT]["parameters"] if ASSIGNMENT in config else config
        self._values = float(given["x"]), float(given["y"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial's."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """End at once."""
        return {METRICS: metrics_at(*self._values), "done": True, ENDED: True, TRIAL_SECONDS: 0.0}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write a file, as every trial does."""
        (Path(checkpoint_dir) / "state").write_text("nothing")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Have nothing to restore."""
