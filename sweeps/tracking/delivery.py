"""Delivery of a sweep's journal to MLflow, in a thread beside the driver."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import groupby

from sweeps.tracking.journal import Item, Spool
from sweeps.tracking.reachability import ServerDownError, TrackingError
from sweeps.tracking.sweep_runs import SweepStore

# Entries read at a time. Where many wait, more: those of one run make a single request, and of
# 1,000 trials 500 entries are of 500 runs.
_WINDOW = 500
_LARGEST_WINDOW = 10_000
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
# Delivery may take this share of a processor while a sweep runs, for trials may wait for what the
# driver does; waiting for a server counts as nothing. It is done in turns of this length.
_SHARE = 0.025
_TURN_S = 0.5
_POLL_S = 0.05

logger = logging.getLogger(__name__)


def deliveries(spool: Spool, store: SweepStore) -> Iterator[int]:
    """Deliver a journal, the entries of one run together, and strike out what was delivered.

    A run that cannot be written to does not hold up the others, unless another fails as well:
    then it is the server.

    Args:
        spool: The journal.
        store: Where to; opened if it is not.

    Yields:
        After each run, how many entries it took.

    Raises:
        ServerDownError: Some were not delivered, and may be later.
        TrackingError: The server refuses to open the sweep, or the journal cannot be read.
    """
    while items := spool.head(min(max(_WINDOW, len(spool)), _LARGEST_WINDOW)):
        spool.sync()
        if not store.is_open:
            store.open()
        failure: ServerDownError | None = None
        stuck: int | None = None
        for trial, group in _groups(items):
            if failure is not None and trial == stuck:
                continue
            try:
                store.deliver(trial, [item.entry for item in group])
            except ServerDownError as error:
                if failure is not None:
                    raise
                failure, stuck = error, trial
                continue
            spool.strike(group)
            yield len(group)
        if failure is not None:
            raise failure


def _groups(items: Sequence[Item]) -> Iterator[tuple[int | None, list[Item]]]:
    """Gather each trial's items, without moving any past one of the sweep's own."""
    for of_sweep, span in groupby(items, key=lambda item: item.trial is None):
        if of_sweep:
            yield None, list(span)
            continue
        by_trial: dict[int | None, list[Item]] = {}
        for item in span:
            by_trial.setdefault(item.trial, []).append(item)
        yield from by_trial.items()


class Courier:
    """Delivers what is put into a journal, a little later and many entries at a time.

    Args:
        spool: The journal.
        store: Where to.
        interval_s: Shortest time between two deliveries.
    """

    def __init__(self, spool: Spool, store: SweepStore, *, interval_s: float) -> None:
        self._spool = spool
        self._store = store
        self._interval_s = interval_s
        self._wake = threading.Event()
        self._hurried = threading.Event()
        self._stopped = threading.Event()
        self._progress_at = time.monotonic()
        self._is_down = False
        # What was read and is not delivered, from one turn to the next.
        self._under_way: Iterator[int] | None = None
        # A daemon: a request to a dead server must not keep the driver from ending.
        self._thread = threading.Thread(target=self._run, name="mlflow-courier", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def notify(self) -> None:
        """Say that there is something to deliver."""
        self._wake.set()

    def flush(self, patience_s: float) -> bool:
        """Deliver all there is, without the usual pauses.

        Args:
            patience_s: How long to wait for a server that takes nothing.

        Returns:
            Whether all was delivered.
        """
        if self._stopped.is_set():
            return False
        begin = time.monotonic()
        self._hurried.set()
        self._wake.set()
        try:
            while len(self._spool):
                waited = time.monotonic() - max(begin, self._progress_at)
                if waited > patience_s or not self._thread.is_alive():
                    return False
                time.sleep(_POLL_S)
            return True
        finally:
            self._hurried.clear()

    def stop(self) -> bool:
        """End the delivery; a request under way has a second to end.

        Returns:
            Whether the thread has ended, and uses the journal no more.
        """
        self._stopped.set()
        self._wake.set()
        self._hurried.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stopped.is_set():
            self._wake.wait()
            self._wake.clear()
            begin, processor = time.monotonic(), time.thread_time()
            try:
                whole = self._deliver(begin + _TURN_S)
                wait_s = _FIRST_WAIT_S
                took = time.monotonic() - begin
                pause = min((time.thread_time() - processor) / _SHARE - took, _LONGEST_WAIT_S)
                if whole:
                    pause = max(pause, self._interval_s)
                else:
                    self._wake.set()
                self._rest(pause)
            except Exception as error:  # whatever it is, training goes on, and so must this thread
                self._note_failure(error)
                self._wake.set()
                self._rest(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _deliver(self, until: float) -> bool:
        """Deliver for a while, in a hurry until the end, and tell whether that was all."""
        deliver, self._under_way = self._under_way or deliveries(self._spool, self._store), None
        for _ in deliver:
            self._progress_at = time.monotonic()
            if self._is_down:
                logger.warning("MLflow answers again; nothing was lost")
                self._is_down = False
            late = self._progress_at > until and not self._hurried.is_set()
            if self._stopped.is_set() or late:
                self._under_way = deliver
                return False
        return True

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        # In a hurry there are no pauses but those for a server that does not answer.
        if self._hurried.is_set():
            end = time.monotonic() + (min(seconds, _FIRST_WAIT_S) if self._is_down else 0.0)
            self._stopped.wait(max(0.0, end - time.monotonic()))
        else:
            self._hurried.wait(max(0.0, end - time.monotonic()))

    def _note_failure(self, error: Exception) -> None:
        if self._is_down or self._stopped.is_set():
            return
        self._is_down = True
        told = isinstance(error, TrackingError)
        cause = str(error) if told else f"MLflow cannot be told ({type(error).__name__}: {error})"
        logger.warning("%s. Training goes on, and the log is kept for later", cause)
