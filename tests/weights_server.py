"""Published weights of torchvision's, random ones, on a server on the loopback."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import get_model, get_model_weights


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def weights_server(
    network: str, weights: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Tensor]]:
    """Serve weights in place of those that torchvision publishes, with torch's cache in a folder.

    Args:
        network: Name of the network.
        weights: Name of the weights, whose address is changed.
        folder: Gets the folders ``served``, with the file, and ``hub``, torch's.
        monkeypatch: Changes address and cache back.

    Yields:
        The tensors.
    """
    (folder / "served").mkdir()
    state = get_model(network, weights=None).state_dict()
    new = folder / "served" / "new.pth"
    torch.save(state, new)
    name = f"net-{hashlib.sha256(new.read_bytes()).hexdigest()[:8]}.pth"
    new.rename(new.with_name(name))
    handler = partial(_Quiet, directory=str(folder / "served"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    entry = get_model_weights(network)[weights].value
    monkeypatch.setattr(entry, "url", f"http://127.0.0.1:{server.server_port}/{name}")
    monkeypatch.setenv("TORCH_HOME", str(folder / "hub"))
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
