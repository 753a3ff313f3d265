"""Messages as text: strict on the way in, and errors that do not repeat what came."""

import pytest
import torch

from fedtune3d.federation.serialisation import flat_state, from_text, to_text
from fedtune3d.federation.tasks.count_scans import ScanCounts

COUNTS = ScanCounts(simulated=True, people=3, scans=3, own_groups=1, declared_groups={"ab": (1, 2)})


def test_a_message_comes_back_as_it_was() -> None:
    assert from_text(ScanCounts, to_text(COUNTS), "counts") == COUNTS


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "counts: not valid JSON"),
        (to_text(COUNTS).replace("3", '"sub-007"', 1), "counts: people: Input should be a valid integer"),
        (to_text(COUNTS).replace("3", "-3", 1), "counts: people: Input should be greater than or equal to 0"),
        ("[]", "counts: ScanCounts: Input should be an object"),
    ],
)
def test_what_is_wrong_is_named_without_its_content(text: str, line: str) -> None:
    with pytest.raises(ValueError) as caught:
        from_text(ScanCounts, text, "counts")
    assert str(caught.value) == line


def test_tensors_travel_under_flat_names_in_order() -> None:
    one, two = torch.ones(1), torch.zeros(1)
    flat = flat_state({"state": {"b": two, "a": one}, "control": {"z": one}})
    assert list(flat) == ["control/z", "state/a", "state/b"]
    assert flat["state/b"] is two
