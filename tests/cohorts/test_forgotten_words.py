"""A site's own labels must not exclude, in silence, people whom the experiment's labels name."""

from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.forgotten_words import require_no_forgotten_word
from fedtune3d.cohorts.inclusion import Included, Wanted
from fedtune3d.cohorts.label_expressions import Row
from fedtune3d.cohorts.labels import ClassMapping, LabelMapping

TABLE = Path("a/participants.tsv")
GENERAL = LabelMapping(positive=("Dementia",), negative=("Control", "MCI"))
OWN = LabelMapping(positive="dx == Dementia", negative="dx == Control")
ROWS: list[Row] = [{"dx": word, "age": "70", "grade": "1"} for word in ("Dementia", "Control", "MCI", "MCI")]


def test_a_word_that_only_the_experiment_includes_is_refused_with_what_to_write() -> None:
    with pytest.raises(InputError) as refused:
        require_no_forgotten_word(TABLE, "A", ROWS, OWN, GENERAL)
    assert str(refused.value) == (
        "a/participants.tsv: the column dx has MCI (2), which labels.negative includes, but labels.negative of site A "
        "does not, and decides there; write under labels of site A: negative: 'dx == Control or dx == MCI', or, to "
        "exclude these people at this site, include: 'dx != MCI'"
    )


def test_a_list_gets_another_word_and_include_another_comparison() -> None:
    rows: list[Row] = [{"diagnosis": "CN", "age": "70"}, {"diagnosis": "SCD", "age": "70"}]
    own = Included(LabelMapping(positive=("AD",), negative=("CN",)), "age > 60")
    with pytest.raises(InputError, match=r"negative: \[CN, SCD\], or, .* add to include: diagnosis != SCD$"):
        require_no_forgotten_word(TABLE, "A", rows, own, LabelMapping(("AD",), "diagnosis == CN or diagnosis == SCD"))


@pytest.mark.parametrize(
    ("own", "general"),
    [
        (LabelMapping("dx == Dementia", "dx == Control or dx == MCI"), GENERAL),
        (LabelMapping("dx == Dementia", "dx != Dementia"), GENERAL),
        (LabelMapping("dx == Dementia", "dx == Control or dx == MCI and age > 80"), GENERAL),
        (Included(OWN, "dx != MCI"), GENERAL),
        (OWN, LabelMapping(("AD",), ("CN", "SCD"))),
        (LabelMapping("grade == 3", "grade == 0"), LabelMapping(("1",), ("0",))),
        (ClassMapping({"CN": "dx == Control", "AD": "dx == Dementia"}), ClassMapping({"CN": ("CN",), "AD": ("AD",)})),
    ],
)
def test_a_word_that_the_site_decides_upon_excludes_or_does_not_have_is_no_mistake(
    own: Wanted, general: LabelMapping | ClassMapping
) -> None:
    found = None
    try:
        require_no_forgotten_word(TABLE, "A", ROWS, own, general)
    except InputError as error:
        found = str(error)
    assert found is None
