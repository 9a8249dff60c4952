"""File names of what a sweep leaves in its folder for people."""

from __future__ import annotations

REPORT_FILE = "report.html"
FRONT_FILE = "front.png"
TRIALS_FILE = "trials.parquet"

EVALUATIONS = "evaluations"
"""Folder in the storage, and experiment in MLflow, of models that were judged by themselves."""

RESERVED_NAMES = ("cache", "pretrained", EVALUATIONS, "mlruns", "mlartifacts", "mlflow.db")
"""Names in the storage that no sweep may have: of caches, initial weights, and MLflow's files."""
