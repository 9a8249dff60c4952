"""Demo data: drawn stand-ins in the layouts of the real data sets."""
