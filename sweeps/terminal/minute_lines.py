"""Lines at a steady pace, for whoever reads a log and should not doubt that a sweep goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable

_PAUSE_S = 60.0


class MinuteLines:
    """Calls a function once a minute, in a thread of its own, until it is stopped.

    Args:
        say: Writes a line.
        pause_s: Seconds between two calls.
    """

    def __init__(self, say: Callable[[], None], *, pause_s: float = _PAUSE_S) -> None:
        self._say = say
        self._pause_s = pause_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="minute-lines", daemon=True)

    def start(self) -> None:
        """Begin; again is harmless."""
        if not self._thread.is_alive() and not self._stopped.is_set():
            self._thread.start()

    def stop(self) -> None:
        """End, after a line that is being written; again is harmless."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._pause_s):
            self._say()
