"""Public cohorts by the form of their ids, as these cohorts and their BIDS versions write them."""

import pytest

from fedtune3d.cohorts.public_cohorts import recognise_cohorts, same_cohort


@pytest.mark.parametrize(
    ("participant", "cohort"),
    [
        ("002_S_0295", "ADNI"),
        ("sub-ADNI002S0295", "ADNI"),
        ("sub-002S0295", "ADNI"),
        ("ADNI_002_S_0295x", None),
        ("sub-OAS30001", "OASIS"),
        ("OAS30001", "OASIS"),
        ("OAS1_0001_MR1", "OASIS"),
        ("sub-OAS20002", "OASIS"),
        ("sub-OASIS10001", "OASIS"),
        ("sub-OAS50001", None),
        ("sub-AIBL1234", "AIBL"),
        ("NACC000011", "NACC"),
        ("IXI002-Guys-0828", "IXI"),
        ("sub-IXI002", "IXI"),
        ("sub-CC110033", "Cam-CAN"),
        ("sub-01", None),
        ("0020295", None),
        ("sub-S0295", None),
        ("", None),
    ],
)
def test_ids_of_each_form(participant: str, cohort: str | None) -> None:
    assert recognise_cohorts([participant], 1) == (() if cohort is None else (cohort,))


def test_a_cohort_is_named_only_of_enough_people() -> None:
    people = [f"sub-ADNI002S{number:04}" for number in range(4)]
    sessions = people * 3 + [person.removeprefix("sub-") for person in people]
    assert recognise_cohorts(sessions, 5) == ()
    assert recognise_cohorts([*sessions, "sub-ADNI002S9999", "sub-OAS30001"], 5) == ("ADNI",)
    assert recognise_cohorts([], 0) == ()


def test_names_of_one_cohort() -> None:
    assert same_cohort("OASIS-3", "oasis")
    assert same_cohort("adni2", "ADNI")
    assert not same_cohort("ADNI", "AIBL")
    assert not same_cohort("ADNI", "")
