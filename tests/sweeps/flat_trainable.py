"""A trainable that learns nothing, for tests of schedulers; workers wait for what it imports."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ray import tune

from trainables.result_keys import ENDED, METRICS, TRIAL_SECONDS

if TYPE_CHECKING:
    from trainables.config import TrialConfig

CURVES = (0.5, 0.6, 0.7, 0.4, 0.65, 0.45)


class Flat(tune.Trainable):
    """A trial that is as good after its first epoch as after its last."""

    base: ClassVar[TrialConfig]

    def setup(self, config: dict[str, Any]) -> None:
        self._number = config["assignment"]["number"]
        self._seed = config["assignment"]["parameters"].get("seed", 0)
        self._epochs = self.base.training.epochs
        self._epoch = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        self._epoch += 1
        accuracy = CURVES[self._number] + 0.01 * self._seed
        metrics = {
            "epoch": self._epoch,
            "val/accuracy": accuracy,
            "train/loss": 1 - accuracy,
            "pid": os.getpid(),
        }
        result = {METRICS: metrics, TRIAL_SECONDS: 0.0}
        return result | ({"done": True, ENDED: True} if self._epoch == self._epochs else {})

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "nothing").touch()

    def load_checkpoint(self, checkpoint: object) -> None:
        pass
