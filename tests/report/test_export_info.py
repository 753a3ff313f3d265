from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.report.export_info import InputFormat, class_labels


def test_steps_stand_in_the_order_in_which_they_are_taken() -> None:
    one = InputFormat.of(PreparationSettings(steps=("register", "brain")))
    other = InputFormat.of(PreparationSettings(steps=("brain", "register")))
    assert one == other
    assert InputFormat.of(PreparationSettings()).steps == "auto"


def test_only_what_a_model_cannot_do_without_must_agree() -> None:
    default, chosen = (InputFormat.of(PreparationSettings(intensity=name)) for name in ("zscore", "histogram"))
    assert default != chosen
    assert (default.size, default.spacing_mm) == (chosen.size, chosen.spacing_mm)


def test_a_rule_on_columns_is_the_only_label() -> None:
    labels = class_labels(LabelMapping(("AD", "MCI"), "cdr < 0.5"))
    assert labels == {"negative": ("cdr < 0.5",), "positive": ("AD", "MCI")}
