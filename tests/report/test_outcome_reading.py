from types import SimpleNamespace

from outcome_metrics import CLASSES, class_metrics, number_metrics

from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.report.outcome_reading import outcome_methods, reading_lines

AGE = NumberOutcome("age", 40, 100, "years", "error")


def test_what_is_explained_fits_the_outcome() -> None:
    classes, number = (" ".join(reading_lines(outcome)) for outcome in (ClassOutcome(CLASSES), AGE))
    assert "guessing gives 0.33" in classes
    assert "Brier score of 0.67" in classes
    assert "predicted minus true age" in number
    assert "class" not in number
    assert all("–: none" in text for text in (classes, number))


def test_methods_are_those_of_the_federated_model() -> None:
    of_classes = SimpleNamespace(class_methods={"federated": class_metrics()}, number_methods={})
    of_number = SimpleNamespace(class_methods={}, number_methods={"federated": number_metrics()})
    assert any("one-vs-rest" in method for method in outcome_methods(of_classes))
    assert any("jackknife" in method for method in outcome_methods(of_number))
    assert outcome_methods(SimpleNamespace(class_methods={}, number_methods={})) == set()
