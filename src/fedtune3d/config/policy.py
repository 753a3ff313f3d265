"""The policy of a site: the tasks it carries out, and what may leave it."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator

from fedtune3d._utils.names import known_name
from fedtune3d._utils.ranges import Count, Fraction, Number, Positive, Whole
from fedtune3d._utils.strict import StrictModel, text_field
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.models.assembly import NCC, RESNET18
from fedtune3d.models.heads import head_names

HOURS = text_field(r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$", 'hours such as "19:00-07:00"')


class Policy(StrictModel):
    """The tasks that a site carries out, and what may leave it besides state dicts, counts and summaries.

    Attributes:
        predictions_leave: Whether per-scan test probabilities leave, without names.
        pictures_leave: Whether example pictures are shown in the report.
        groups_leave: Whether the groups that the site declares leave, as pseudonyms with their counts per class, so
            that sites with the same people assign them to the same splits.
        maps_leave: Whether a mean saliency map over people leaves, if the experiment asks for one.
        names_leave: Whether the leak audit names scans by their ids, instead of eight digits that only the site can
            look up.
        min_per_class: Minimum number of people of a class behind class sums (NCC), feature statistics, a mean
            saliency map, and the numbers of a group such as a sex or an age band: a sum over a few people would expose
            them. Across hospitals no experiment with a smaller class is answered.
        min_people: Minimum number of people of a class in a split that is trained on, or of which a number leaves.
            People who share a group count once. Where the experiment predicts a number, twice as many are needed. With
            1, the default of the sites of one process, the leak audit holds nothing back.
        tunings: The tunings that the site trains; None for all.
        heads: The heads that the site trains; None for all.
        max_rounds: Maximum number of rounds of an experiment.
        max_lora_rank: Maximum rank of LoRA adapters.
        max_threads: Maximum number of threads of an experiment.
        max_payload_mb: Maximum size of the tensors in one message, either way, in megabytes.
        secure_aggregation: Whether the site trains only where the server sees no more of updates than their sum
            (`privacy.secure_aggregation` of the experiment).
        max_share: The greatest share of such a sum that one site may have.
        max_epsilon: Maximum ε about any person, over all experiments that train on them; experiments without
            `privacy.epsilon` are then refused. None for no limit.
        max_delta: The δ at which this is counted, and the maximum `privacy.delta` of an experiment.
        hours: Hours in which the site answers, by its own clock, such as ``"19:00-07:00"``; None for always.
    """

    predictions_leave: bool = True
    pictures_leave: bool = True
    groups_leave: bool = True
    maps_leave: bool = True
    names_leave: bool = True
    min_per_class: Count = 5
    min_people: Count = 1
    tunings: tuple[Literal["frozen", "full", "lora"], ...] | None = None
    heads: tuple[str, ...] | None = None
    max_rounds: Annotated[Whole, Field(ge=1, le=10**9)] | None = None
    max_lora_rank: Annotated[Whole, Field(ge=1, le=4096)] | None = None
    max_threads: Annotated[Whole, Field(ge=1, le=1024)] | None = None
    max_payload_mb: Positive | None = None
    secure_aggregation: Literal["allowed", "required"] = "allowed"
    max_share: Fraction = 0.6
    max_epsilon: Annotated[Number, Field(ge=0.01, le=100, allow_inf_nan=False)] | None = None
    max_delta: Annotated[Number, Field(ge=1e-12, le=0.1, allow_inf_nan=False)] = 1e-3
    hours: Annotated[str, HOURS] | None = None

    def for_outcome(self, outcome: Outcome) -> Self:
        """Return the policy under which an experiment that predicts `outcome` is answered.

        Of a number its sum and the sum of its squares leave, and as scores and ages are whole numbers, these can be
        solved for those of a few people. So twice as many people are needed, which is what two classes need.
        """
        if not isinstance(outcome, NumberOutcome) or self.min_people == 1:
            return self
        return self.model_copy(update={"min_people": 2 * self.min_people})

    @property
    def min_described(self) -> int:
        """Minimum number of people behind the counts, ages and intensities of the leak audit."""
        return 1 if self.min_people == 1 else max(self.min_people, self.min_per_class)

    @field_validator("heads")
    @classmethod
    def _known_heads(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(known_name(name, (*head_names(), NCC, RESNET18)) for name in names)
