"""Logging to TensorBoard and MLflow: numbers of the ledger and of the evaluation, never of single scans."""

from fedtune3d.report.logs.run_logs import RunLogs, require_packages

__all__ = ["RunLogs", "require_packages"]
