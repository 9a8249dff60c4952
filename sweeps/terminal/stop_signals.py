"""Stop signals of a sweep: SIGINT (Control-C), SIGTERM and SIGHUP end it in the same orderly way.

Ray Tune ends its loop on SIGINT alone, so the other two are passed on to whoever handles that one.
What comes after, and whether it comes in time, is watched by a thread of its own: the main thread
may be waiting inside a library, where no handler runs.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

GOES_ON = "Stopped before all trials ran; the same command goes on from here."

LIMIT_S = 20.0
"""How long a sweep may take to end after SIGTERM or SIGHUP, its last words included."""

_LAST_WORDS_S = 5.0

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A closing terminal, or the command timeout, sends its signal twice in a row.
_ONE_REQUEST_S = 0.5

_received: signal.Signals | None = None
_passed_on = False
_last_words: Callable[[], None] | None = None


def stopped_by() -> signal.Signals | None:
    """Return the signal that has asked this process to stop; None without one."""
    return _received


def is_hurried() -> bool:
    """Tell whether whoever asked to stop will not wait: a shutdown, a lost terminal."""
    return _received in (signal.SIGTERM, signal.SIGHUP)


def stopped_exit_code() -> int:
    """Return the exit code of a process that was stopped, by the shells' custom: 128 and more."""
    return 128 + (_received or signal.SIGINT)


@contextlib.contextmanager
def orderly_stop() -> Iterator[None]:
    """Let stop signals end the block as Control-C does, by KeyboardInterrupt or Ray Tune's end.

    A second signal ends the process at once, with all that it has started; so does the end of
    :data:`LIMIT_S` after SIGTERM or SIGHUP. What the caller had told to be ignored, as ``nohup``
    does, stays ignored. Outside of the main thread, which alone hears signals, nothing is done.
    """
    global _received, _passed_on
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _received, _passed_on = None, False
    atexit.register(_ignore_what_comes_late)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {
        number: signal.signal(number, _as_interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reader,), name="stop-signals", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        # Once stopped, the rest of the process is watched too: libraries have work to do at exit.
        if _received is None:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(writer)
            watcher.join()
            os.close(reader)


def _ignore_what_comes_late() -> None:
    """Let no later signal change the exit code: an ending interpreter forgets its handlers."""
    if _received is not None:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """Start processes of a library inside, which keeps neither its handlers nor them from us.

    The library may install a handler of its own for SIGTERM: afterwards ours is back. Its
    processes do not hear SIGHUP, which a closing terminal sends to all: they end with this one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def last_words(say: Callable[[], None]) -> Iterator[None]:
    """Have something said if the process has to be ended while the main thread is in the block.

    Args:
        say: Called in another thread, and given a few seconds.
    """
    global _last_words
    _last_words = say
    try:
        yield
    finally:
        _last_words = None


def end_with_last_words(line: str, code: int) -> None:
    """End this process as :func:`end_at_once` does, after what :func:`last_words` has to say.

    Args:
        line: Is printed on standard error.
        code: The exit code.
    """
    if _last_words is not None:
        speaker = threading.Thread(target=_last_words, daemon=True)
        speaker.start()
        speaker.join(_LAST_WORDS_S)
    end_at_once(line, code)


def end_at_once(line: str, code: int) -> None:
    """End this process and all that it has started, wherever its threads are.

    Args:
        line: Is printed on standard error.
        code: The exit code.
    """
    say_last(line)
    end_children()
    os._exit(code)


def say_last(line: str) -> None:
    """Print a line on standard error, past all buffers, and below a live view."""
    # As a live view may have hidden the cursor.
    show_cursor = "\x1b[?25h\n" if sys.stderr.isatty() else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{show_cursor}{line}\n".encode())


def end_children() -> None:
    """Kill all that this process has started."""
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=_LAST_WORDS_S)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    global _received, _passed_on
    if _passed_on:
        return
    _received, _passed_on = _received or signal.Signals(number), True
    if number == signal.SIGHUP:
        _forget_lost_terminal()
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)
    else:
        raise KeyboardInterrupt


def _forget_lost_terminal() -> None:
    """Send what is still printed nowhere, if it cannot be printed any more."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def _watch(reader: int) -> None:
    """Wait for signals, until the other end is closed."""
    global _received
    first: float | None = None
    while True:
        left = None
        if first is not None and is_hurried():
            left = max(0.0, first + LIMIT_S - _LAST_WORDS_S - time.monotonic())
        ready, _, _ = select.select([reader], [], [], left)
        if not ready:
            end_with_last_words(GOES_ON, stopped_exit_code())
        numbers = os.read(reader, 64)
        if not numbers:
            return
        for number in numbers:
            if number not in _STOP_SIGNALS:
                continue
            if first is None:
                first = time.monotonic()
                _received = _received or signal.Signals(number)
            elif time.monotonic() > first + _ONE_REQUEST_S:
                end_at_once(GOES_ON, 128 + number)
