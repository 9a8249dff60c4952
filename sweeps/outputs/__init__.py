"""Outputs of a sweep for people: report, pictures, tables, and models in the registry."""

from sweeps.outputs.report import write_report

__all__ = ["write_report"]
