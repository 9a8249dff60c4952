"""Decoding in parallel: in threads of this process, or in processes of their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from hsplid_core.data._arrow_file import Header
from hsplid_core.data._arrow_rows import EncodedRows, encode_rows
from hsplid_core.data.source import Source
from hsplid_core.errors import ConfigError

_MAX_USEFUL_THREADS = 4

Submit = Callable[[range], "Future[EncodedRows]"]


def n_cores() -> int:
    """Cores that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What decodes a data set.

    Attributes:
        kind: `threads` share this process and start at once; Pillow's decoders release Python's
            lock. `processes` cost seconds to start and then use every core fully.
        count: How many, at least 1; by default one for each core up to where threads gain.
    """

    kind: Literal["threads", "processes"] = "threads"
    count: int = field(default_factory=lambda: min(n_cores(), _MAX_USEFUL_THREADS))

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"workers is {self.count}: use at least 1")

    @classmethod
    def for_many_images(cls, count: int) -> Workers:
        """Choose the kind for a build that is long enough to start processes.

        Of a COCO image at 224 pixels a fifth of the time (opening it, uniting its masks) holds
        Python's lock, so that threads gain nothing beyond five cores.

        Args:
            count: How many, at least 1.
        """
        return cls(kind="processes" if count > _MAX_USEFUL_THREADS else "threads", count=count)


@contextlib.contextmanager
def decoders(source: Source, header: Header, workers: Workers) -> Iterator[Submit]:
    """Start workers that turn runs of candidates into record batches.

    Args:
        source: The data set; pickled once for each process.
        header: The cache's header.
        workers: How many, and of what kind.

    Yields:
        A function that hands a run of candidates to the workers.
    """
    executor: Executor
    encode: Callable[[range], EncodedRows]
    if workers.kind == "threads":
        executor = ThreadPoolExecutor(workers.count)
        encode = partial(encode_rows, source, header)
    else:
        executor = ProcessPoolExecutor(
            workers.count, _context(), initializer=_start_worker, initargs=(source, header)
        )
        encode = _encode_in_worker

    def submit(candidates: range) -> Future[EncodedRows]:
        return executor.submit(encode, candidates)

    try:
        yield submit
    finally:
        executor.shutdown(cancel_futures=True)


def _context() -> multiprocessing.context.BaseContext:
    """Fork from a clean server: a fork of this process would copy torch's locks as they stand."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hsplid_core.data"])
    return context


# A worker process serves one source. Sent with every task, its annotations would be pickled anew
# each time.
_served: dict[str, Callable[[range], EncodedRows]] = {}


def _start_worker(source: Source, header: Header) -> None:
    _served["encode"] = partial(encode_rows, source, header)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the builder, which ends these
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when the builder is killed; it would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encode_in_worker(candidates: range) -> EncodedRows:
    return _served["encode"](candidates)
