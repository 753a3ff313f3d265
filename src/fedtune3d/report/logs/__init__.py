"""A run in TensorBoard or MLflow: the numbers of the ledger and of the evaluation, none of a single scan."""

from fedtune3d.report.logs.run_logs import RunLogs, require_packages

__all__ = ["RunLogs", "require_packages"]
