"""The items of the TRIPOD+AI checklist, in short.

Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for reporting clinical prediction models
that use regression or machine learning methods. BMJ 2024;385:e078378. The wording here is ours; the checklist itself is
at https://www.tripod-statement.org.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fedtune3d.config.experiment import Experiment
from fedtune3d.report.run_contents import FinishedRun

Status = Literal["filled", "partly filled", "for the authors"]


class Answer(NamedTuple):
    """How far a program can fill an item, and the text."""

    status: Status
    text: str


Answering = Callable[[FinishedRun, Experiment], Answer]


@dataclass(frozen=True)
class Item:
    """An item of the checklist: its number, its topic and what it asks for, in our words."""

    number: str
    topic: str
    asks: str


ITEMS = (
    Item("1", "Title", "model developed or evaluated, target population, outcome"),
    Item("2", "Abstract", "TRIPOD+AI for abstracts"),
    Item("3a", "Background", "healthcare context, reasons, existing models"),
    Item("3b", "Background", "target population, purpose in the care pathway, users"),
    Item("3c", "Background", "known health inequalities"),
    Item("4", "Objectives", "development, evaluation or both"),
    Item("5a", "Data", "sources for development and evaluation, representativeness"),
    Item("5b", "Data", "dates of collection"),
    Item("6a", "Participants", "setting, number and location of centres"),
    Item("6b", "Participants", "eligibility"),
    Item("6c", "Participants", "treatments and their handling"),
    Item("7", "Data preparation", "pre-processing and quality checks, across groups"),
    Item("8a", "Outcome", "definition, when and how assessed, across groups"),
    Item("8b", "Outcome", "assessors, if it needs interpretation"),
    Item("8c", "Outcome", "blinding of its assessment"),
    Item("9a", "Predictors", "choice and pre-selection"),
    Item("9b", "Predictors", "definition, when and how measured, blinding"),
    Item("9c", "Predictors", "assessors, if they need interpretation"),
    Item("10", "Sample size", "how it was arrived at, and whether it suffices"),
    Item("11", "Missing data", "handling, and reasons for exclusion"),
    Item("12a", "Analysis", "use and partition of the data"),
    Item("12b", "Analysis", "handling of predictors"),
    Item("12c", "Analysis", "type of model, building, tuning, internal validation"),
    Item("12d", "Analysis", "heterogeneity between clusters"),
    Item("12e", "Analysis", "measures and plots of performance, comparison of models"),
    Item("12f", "Analysis", "updating, such as recalibration"),
    Item("12g", "Analysis", "how predictions are computed"),
    Item("13", "Class imbalance", "methods used, and recalibration after them"),
    Item("14", "Fairness", "approaches and reasons"),
    Item("15", "Model output", "probabilities or classes, choice of thresholds"),
    Item("16", "Training and evaluation", "differences between their data"),
    Item("17", "Ethical approval", "committee, consent or waiver"),
    Item("18a", "Open science", "funding"),
    Item("18b", "Open science", "conflicts of interest"),
    Item("18c", "Open science", "protocol"),
    Item("18d", "Open science", "registration"),
    Item("18e", "Open science", "availability of data"),
    Item("18f", "Open science", "availability of code"),
    Item("19", "Patients and public", "their involvement"),
    Item("20a", "Participants", "flow, with and without the outcome"),
    Item("20b", "Participants", "characteristics overall and by source, missing data"),
    Item("20c", "Participants", "evaluation data against development data"),
    Item("21", "Model development", "people and events in each analysis"),
    Item("22", "Model specification", "details for predictions in new people, access"),
    Item("23a", "Performance", "estimates with intervals, subgroups, plots"),
    Item("23b", "Performance", "heterogeneity between clusters"),
    Item("24", "Model updating", "results of updating"),
    Item("25", "Interpretation", "main results, fairness, previous studies"),
    Item("26", "Limitations", "and their effects on bias, uncertainty and generalisability"),
    Item("27a", "Usability", "poor or missing input data"),
    Item("27b", "Usability", "interaction and expertise of users"),
    Item("27c", "Usability", "next steps, applicability and generalisability"),
)
"""27 items with 52 parts."""
