"""Ray Tune trainables around the training loop of hsplid_core.

In a worker this is imported before torch, whose threads then sleep while they wait for each other.
OpenMP lets them spin: where others need the cores, two took six times the CPU of one for the same
steps.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
