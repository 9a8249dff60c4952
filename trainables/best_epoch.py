"""Best epoch of a trial: its weights, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hsplid_core.config import TrainingConfig


class BestEpoch:
    """The epoch with the best value of the metric that ``training.monitor`` names.

    Args:
        config: What decides, whether its weights are kept, and the patience.

    Attributes:
        epoch: Number of that epoch, from 1; 0 before there is one.
        value: The metric then.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._monitor = config.monitor
        self._sign = 1 if config.monitor_mode == "max" else -1
        self._keeps = config.keep == "best"
        self._patience = config.patience
        self.epoch = 0
        self.value = 0.0
        self._weights: dict[str, Tensor] | None = None

    @property
    def decides(self) -> bool:
        """Whether anything depends on which epoch is the best."""
        return self._keeps or self._patience is not None

    def judge(self, epoch: int, metrics: Mapping[str, float], model: nn.Module) -> bool:
        """Compare an epoch with the best before it; the earlier of two equal ones stays.

        Args:
            epoch: Its number, from 1.
            metrics: What was measured after it.
            model: Its weights are copied where they are the best so far.

        Returns:
            Whether the metric that decides is among them.
        """
        if self._monitor not in metrics:
            return False
        value = metrics[self._monitor]
        if math.isnan(value):  # of which nothing is better, nor worse
            return True
        if self.epoch == 0 or self._sign * value > self._sign * self.value:
            self.epoch, self.value = epoch, value
            if self._keeps:
                state = model.state_dict().items()
                self._weights = {name: tensor.detach().cpu().clone() for name, tensor in state}
        return True

    def is_over(self, epoch: int) -> bool:
        """Whether the patience with the best epoch has ended after another one."""
        return self._patience is not None and epoch - self.epoch >= self._patience

    def restore(self, epoch: int, model: nn.Module) -> bool:
        """Give a model the best epoch's weights, where these are kept and not the last ones.

        Args:
            epoch: The last one, whose weights the model has.
            model: Changed in place.

        Returns:
            Whether it has changed.
        """
        if self._weights is None or self.epoch == epoch:
            return False
        model.load_state_dict(self._weights)
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return what a later process needs to go on."""
        return {"epoch": self.epoch, "value": self.value, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.epoch, self.value, self._weights = state["epoch"], state["value"], state["weights"]
