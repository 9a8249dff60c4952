"""Ray Tune trainables around the training loop of hsplid_core."""
