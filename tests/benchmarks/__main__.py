"""All benchmarks, one after the other, each in a process of its own: `make bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run every ``bench_*.py`` beside this file; return 0 if all reach their targets."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    codes = {}
    for name in names:
        print(f"== {name}", flush=True)
        codes[name] = subprocess.call([sys.executable, "-m", f"tests.benchmarks.{name}"])
    missed = [name for name, code in codes.items() if code]
    print("all targets reached" if not missed else f"missed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
