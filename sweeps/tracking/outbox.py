"""What is still to be told to the tracking server, kept in order until it was.

An entry leaves the outbox only after it was delivered, and delivering one twice has the effect of
delivering it once: that is what makes logging exactly-once over a server that comes and goes. A
durable outbox has to write each entry down in ``put`` and strike it out in ``drain``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sweeps.events import TrialRecord
from trainables.config import ParameterValue


@dataclass(frozen=True)
class Opened:
    """A trial began its attempt of this number, counted from 1."""

    parameters: Mapping[str, ParameterValue]
    attempt: int
    time_ms: int


@dataclass(frozen=True)
class Epoch:
    """A trial finished an epoch."""

    epoch: int
    metrics: Mapping[str, float]
    time_ms: int


@dataclass(frozen=True)
class Closed:
    """A trial ended, or was interrupted."""

    record: TrialRecord
    time_ms: int


@dataclass(frozen=True)
class Ranked:
    """A trial entered or left the front."""

    on_front: bool


Entry = Opened | Epoch | Closed | Ranked


class Outbox:
    """Entries waiting for delivery, a queue a trial.

    Args:
        max_metrics: Most metric values in one batch of epochs (an epoch is never split).
    """

    def __init__(self, max_metrics: int) -> None:
        self._max_metrics = max_metrics
        self._queues: dict[int, deque[Entry]] = {}

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def put(self, trial: int, entry: Entry) -> None:
        """Add an entry behind the others of its trial."""
        self._queues.setdefault(trial, deque()).append(entry)

    def drain(self, deliver: Callable[[int, Sequence[Entry]], None]) -> None:
        """Deliver all entries, each trial's in order and its consecutive epochs together.

        Args:
            deliver: Called with a trial's number and either several epochs or one other entry; if
                it raises, these entries and all that follow stay in the outbox.
        """
        for trial, queue in list(self._queues.items()):
            while queue:
                batch = self._batch(queue)
                deliver(trial, batch)
                for _ in batch:
                    queue.popleft()
            del self._queues[trial]

    def _batch(self, queue: deque[Entry]) -> list[Entry]:
        batch: list[Entry] = [queue[0]]
        size = 0
        for position, entry in enumerate(queue):
            if not isinstance(entry, Epoch):
                break
            size += len(entry.metrics) + 1
            if position and size <= self._max_metrics:
                batch.append(entry)
            elif position:
                break
        return batch
