"""A sweep as one HTML page: what to choose, what it rests on, and how to run it again."""

from sweeps.report.writing import REPORT_FILE, report_or_warn, write_report

__all__ = ["REPORT_FILE", "report_or_warn", "write_report"]
