"""Distributed multi-objective sweeps on Ray Tune, Optuna and MLflow."""
