"""Decoding in parallel: in threads of this process, or in processes of their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

from hsplid_core.data.cache.file_format import Header
from hsplid_core.data.cache.record_batches import EncodedRows, encode_rows
from hsplid_core.data.source import Source
from hsplid_core.data.workers import Workers

Submit = Callable[[range], "Future[EncodedRows]"]


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
