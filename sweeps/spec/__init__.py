"""Specs of sweeps: the YAML file, overrides, checks, and the registry of names."""
