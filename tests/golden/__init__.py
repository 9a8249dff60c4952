"""Golden vectors of the papers' published code: numbers to agree with, and how they were made.

This folder carries a subset of each family, so that a clone alone passes. The full set is used
where it lies beside the repository, in `../shared/golden/`.

`<family>.json` says what every array means and how it was computed; `<family>.npz` holds the
arrays under `<case>/<key>`.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_SUBSET = Path(__file__).resolve().parent
_FULL = _SUBSET.parents[1].parent / "shared" / "golden"


class Golden(NamedTuple):
    """One family of golden vectors.

    Attributes:
        catalogue: The family's JSON: definitions, and under "cases" the kind, parameters and keys
            of every case.
        arrays: Read-only arrays by `<case>/<key>`.
    """

    catalogue: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    def case(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of one case, by key.

        Args:
            name: A name under the catalogue's "cases".
        """
        prefix = f"{name}/"
        return {
            key.removeprefix(prefix): array
            for key, array in self.arrays.items()
            if key.startswith(prefix)
        }


@functools.cache
def load(family: str) -> Golden:
    """Load a family: the full set where it lies beside the repository, else the subset.

    Args:
        family: For example "attacks" or "hsic".

    Raises:
        FileNotFoundError: If neither place holds the family.
    """
    folder = next((f for f in (_FULL, _SUBSET) if (f / f"{family}.json").is_file()), None)
    if folder is None:
        raise FileNotFoundError(f"no golden family {family!r} in {_FULL} or {_SUBSET}")
    catalogue = json.loads((folder / f"{family}.json").read_text(encoding="utf-8"))
    with np.load(folder / f"{family}.npz", allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    for array in arrays.values():
        array.flags.writeable = False  # cached: one test must not change another's numbers
    return Golden(catalogue, arrays)
