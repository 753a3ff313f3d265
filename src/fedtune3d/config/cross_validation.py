"""The section `validation` of an experiment: cross-validation in place of one split."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.ranges import Whole
from fedtune3d._utils.strict import StrictModel
from fedtune3d.cohorts.folds import Fold

Times = Annotated[Whole, Field(ge=1, le=100)]


class OneFold(StrictModel):
    """A single fold of a cross-validation.

    Attributes:
        repeat: Number of the repeat, from 1.
        fold: Number of the fold in it, from 1.
    """

    repeat: Times
    fold: Times


class CrossValidation(StrictModel):
    """K-fold cross-validation: everybody is tested, by a model that was trained without them (docs/evaluation.md).

    The people of every site are dealt into folds, stratified by class or by quartile of the number. Each fold is a run
    whose test set it is; all others are divided into training and validation in the ratio of `splits`, whose `test`
    does not count then.

    Attributes:
        folds: Number of folds; at most the people of the rarest class of any site.
        repeats: How often everybody is dealt into folds; more can be added later.
        only: One fold, as an ordinary run: `{repeat: 1, fold: 3}`, such as across hospitals, where each fold is an
            experiment of its own.
    """

    folds: Annotated[Whole, Field(ge=2, le=100)]
    repeats: Times = 1
    only: OneFold | None = None

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.only is not None and self.only.fold > self.folds:
            raise ValueError(f"only.fold: expected at most {self.folds}, the number of folds, got {self.only.fold}")
        return self

    @property
    def fold(self) -> Fold | None:
        """The only fold; None for all."""
        return None if self.only is None else Fold(self.only.repeat, self.only.fold, self.folds)

    def all_folds(self) -> Iterator[Fold]:
        """Yield every fold, repeat by repeat; one only if the section names it."""
        if (fold := self.fold) is not None:
            yield fold
            return
        for repeat in range(1, self.repeats + 1):
            for number in range(1, self.folds + 1):
                yield Fold(repeat, number, self.folds)

    def of(self, fold: Fold) -> Self:
        """Return the section of a single fold, the same for any number of repeats."""
        return type(self)(folds=self.folds, only=OneFold(repeat=fold.repeat, fold=fold.number))

    def public(self) -> dict[str, Json]:
        """Return the section as JSON values, without the number of repeats if it names one fold."""
        values: dict[str, Json] = self.model_dump(mode="json")
        del values["only" if self.only is None else "repeats"]
        return values


def require_one_run(validation: CrossValidation | None) -> None:
    """Raise `InputError` for a cross-validation of all folds, each of which is a run of its own."""
    if validation is not None and validation.only is None:
        raise InputError(
            "validation: every fold is a run of its own; `fedtune3d run` runs all of them on one machine, and across "
            f"hospitals each is an experiment of its own, such as validation: {{folds: {validation.folds}, only: "
            "{repeat: 1, fold: 1}}"
        )
