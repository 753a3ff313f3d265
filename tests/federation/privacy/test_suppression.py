"""What too few people stand behind is held back, or the answer is refused."""

from typing import Annotated

import pytest
from pydantic import BaseModel

from fedtune3d.federation.privacy.declarations import (
    NOTHING,
    AnswerDeclaration,
    CountedBy,
    Declaration,
    IfFew,
    Reveals,
    declarations_of,
    require_nothing,
)
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.suppression import suppress


class Ages(BaseModel):
    people: Annotated[int, NOTHING]
    mean: Annotated[float | None, Declaration(Reveals.STATISTIC, CountedBy("people", IfFew.HOLD_BACK))] = None
    seconds: Annotated[float, NOTHING] = 0.0


TENSOR = Declaration(Reveals.TENSOR, CountedBy("people"))
DECLARED = AnswerDeclaration(Ages, declarations_of(Ages), {"state": TENSOR}, require_nothing, "ages")


@pytest.mark.parametrize(("people", "mean"), [(5, 71.5), (4, None)])
def test_a_field_of_too_few_people_is_held_back_alone(people: int, mean: float | None) -> None:
    answer = Ages(people=people, mean=71.5, seconds=2.0)
    assert suppress("ages", answer, {}, DECLARED, 5) == Ages(people=people, mean=mean, seconds=2.0)


def test_a_part_of_too_few_people_refuses_the_answer() -> None:
    assert suppress("ages", Ages(people=5), {"state": {}}, DECLARED, 5).people == 5
    with pytest.raises(Refusal, match=r"policy\.min_people is 5, but the answer to ages is about fewer people"):
        suppress("ages", Ages(people=4), {"state": {}}, DECLARED, 5)


def test_what_is_given_is_not_changed() -> None:
    answer = Ages(people=1, mean=71.5)
    suppress("ages", answer, {}, DECLARED, 5)
    assert answer.mean == 71.5
