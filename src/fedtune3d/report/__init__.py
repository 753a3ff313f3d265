"""Reports: read a run or study folder and write its figures, tables and one HTML page."""

from fedtune3d.report.against import against_table
from fedtune3d.report.cross_validation_page import write_cross_validation_report
from fedtune3d.report.number_formatting import caveat
from fedtune3d.report.page import write_report
from fedtune3d.report.study_page import write_study_report
from fedtune3d.report.table import auc_table

__all__ = [
    "against_table",
    "auc_table",
    "caveat",
    "write_cross_validation_report",
    "write_report",
    "write_study_report",
]
