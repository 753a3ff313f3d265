"""The measured costs of a study's models, kept in its folder, so that each model is measured once."""

import json
from collections.abc import Callable

import torch

from fedtune3d._utils.folders import StudyFolder
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d._utils.version import __version__
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Study
from fedtune3d.config.study_results import EncodingCost
from fedtune3d.federation.site.costs import MeasuredCosts, measure_costs

MEASURED = {"model", "preparation", "tuning", "aggregation", "privacy", "threads", "device"}
"""Keys of an experiment on which the measured costs depend."""


class StudyCosts:
    """Measures the costs of experiments of a study, once for all rounds and seeds.

    Args:
        study: The study.
        on_message: Called with a line before each measurement.
    """

    def __init__(self, study: Study, on_message: Callable[[str], None]) -> None:
        self.on_message = on_message
        self.file = StudyFolder(study.output).costs
        self.known: dict[str, MeasuredCosts] = {}
        if self.file.exists():
            self.known = read_typed(dict[str, MeasuredCosts], self.file, "delete it to measure again")

    def of(self, experiment: Experiment) -> MeasuredCosts:
        """Return the costs of an experiment's model, tuning and rule.

        Raises:
            InputError: If its model cannot be built or its weights cannot be used.
        """
        causes = experiment.model_dump(mode="json", include=MEASURED)
        causes["versions"] = [__version__, torch.__version__]
        causes["batch_size"] = experiment.training.batch_size
        if experiment.privacy.secure_aggregation:  # messages hold a key and a share for every site
            causes |= {"sites": [site.name for site in experiment.sites], "fraction": experiment.participation.fraction}
        key = json.dumps(causes, sort_keys=True)
        if key not in self.known:
            self.on_message(f"timing one scan: {experiment.name.rpartition('-')[0]}")
            self.known[key] = measure_costs(experiment)
            write_typed(self.file, self.known)
        return self.known[key]


def measure_encoders(study: Study, on_message: Callable[[str], None]) -> dict[str, EncodingCost]:
    """Measure what each encoder on the axis of encoders costs, in the first combination that it occurs in.

    Returns:
        Label of the encoder → its cost; empty in a study of one encoder.
    """
    costs, encoding = StudyCosts(study, on_message), {}
    for combination in study.possible():
        encoder = combination.encoder
        if encoder is not None and not combination.is_reference and encoder.label not in encoding:
            measured = costs.of(study.experiment(combination, study.draws[0]))
            seconds = measured.encode_seconds or measured.forward_seconds
            encoding[encoder.label] = EncodingCost(seconds, measured.host_bytes, measured.feature_bytes)
    return encoding
