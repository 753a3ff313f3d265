"""Public cohorts, recognised by the form of their participant ids."""

import re
from collections.abc import Iterable
from typing import Literal, get_args

PublicCohort = Literal["ADNI", "OASIS", "AIBL", "NACC", "IXI", "Cam-CAN"]
PUBLIC_COHORTS: tuple[PublicCohort, ...] = get_args(PublicCohort)

_IDS: dict[PublicCohort, re.Pattern[str]] = {
    "ADNI": re.compile(r"(ADNI)?\d{3}_?S_?\d{4,5}", re.IGNORECASE),  # 002_S_0295, ADNI002S0295
    "OASIS": re.compile(r"OAS(IS)?[1-4]_?\d{4}(_?MR\d)?", re.IGNORECASE),  # OAS30001, OAS1_0001_MR1, OASIS10001
    "AIBL": re.compile(r"AIBL\d{1,5}", re.IGNORECASE),
    "NACC": re.compile(r"NACC\d{6}", re.IGNORECASE),
    "IXI": re.compile(r"IXI\d{3}(-?[A-Z]+-?\d{4})?", re.IGNORECASE),  # IXI002-Guys-0828
    "Cam-CAN": re.compile(r"(Cam-?CAN)?CC\d{6}", re.IGNORECASE),
}


def recognise_cohorts(participant_ids: Iterable[str], min_people: int) -> tuple[PublicCohort, ...]:
    """Return the cohorts of whose ids at least `min_people` people have the form, in the order of `PUBLIC_COHORTS`.

    Ids may begin with ``sub-``. An id of the form is no proof of the cohort, and other cohorts are not recognised.
    """
    people = {participant.removeprefix("sub-") for participant in participant_ids}
    counts = {cohort: sum(bool(form.fullmatch(person)) for person in people) for cohort, form in _IDS.items()}
    return tuple(cohort for cohort in PUBLIC_COHORTS if counts[cohort] >= max(1, min_people))


def same_cohort(first: str, second: str) -> bool:
    """Return whether two names are of one cohort: ``OASIS-3`` and ``oasis``, ``ADNI2`` and ``ADNI``."""
    return _family(first) == _family(second)


def _family(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.casefold())
