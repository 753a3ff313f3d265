from outcome_metrics import CLASSES, class_metrics

from fedtune3d.evaluation.multiclass.confusion_matrix import HELD_BACK
from fedtune3d.report.class_tables import class_auc_rows, class_methods, class_rows, classes_rows
from fedtune3d.report.number_formatting import interval


def test_each_class_has_a_row_per_site_and_over_all_sites() -> None:
    metrics = class_metrics()
    rows = class_rows(metrics)
    assert [(row.part, row.name) for row in rows[:3]] == [("Amsterdam", name) for name in CLASSES]
    assert len(rows) == 4 * 3
    pooled = metrics.pooled.of_class[1]
    assert (rows[-2].people, rows[-2].recognised) == ("29", f"{metrics.pooled.confusion.cells[1][1]}/29")
    assert rows[-2].auc == interval(pooled.auc)
    graz = rows[2 * 3 + 1]
    assert graz.auc == "not defined: 1 of 3 classes without test scans"
    assert graz.sensitivity == "not defined: no test scans of this class"


def test_all_classes_together_per_site_with_their_mean() -> None:
    rows = classes_rows(class_metrics())
    assert [row.part for row in rows] == ["Amsterdam", "Boston", "Graz", "Mean", "Pooled"]
    assert (rows[0].people, rows[0].scans, rows[3].people) == ("37", "37", "")
    assert rows[3].measures["Accuracy"] == rows[3].measures["ECE (if calibrated)"] == "–"
    error = class_metrics().pooled.calibration_error
    assert rows[4].measures["ECE (if calibrated)"] == f"{error.value:.2f} ({error.if_calibrated:.2f})"
    assert rows[3].measures["Macro AUC"] == interval(class_metrics().mean.macro_auc)
    assert [row.few for row in rows] == [False, False, True, False, False]
    own = classes_rows(class_metrics(shared_model=False))
    assert [row.part for row in own] == ["Amsterdam", "Boston", "Graz", "Mean"]


def test_what_is_held_back_is_said() -> None:
    rows = class_rows(class_metrics(share=False, min_people=5))
    assert HELD_BACK in {row.recognised for row in rows}


def test_the_auc_of_each_class_comes_with_their_mean() -> None:
    assert [len(row.estimates) for row in class_auc_rows(class_metrics())] == [4] * 5


def test_methods_are_those_of_all_intervals() -> None:
    shared, kept = class_methods(class_metrics()), class_methods(class_metrics(share=False))
    assert "" not in shared
    assert any("mean of the one-vs-rest AUCs" in method and "correlated" in method for method in shared)
    assert any("from counts" in method for method in kept)
