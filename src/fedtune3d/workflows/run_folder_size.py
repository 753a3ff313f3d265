"""The size of a run folder before the run: tensors by their shapes, all else by what runs have written."""

from collections.abc import Sequence

from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.site.costs import MeasuredCosts
from fedtune3d.models.feature_statistics import MIN_SCANS

REPORT_BYTES = 1_000_000
"""The page, the figures and their data, and the run's tables."""
REPORT_BYTES_PER_SITE = 370_000
"""A site's part of these, and its example pictures, on the page and as files."""
RECORD_BYTES_PER_SITE = 20_000
"""A site's lines on what left it, for all that is sent once."""
RECORD_BYTES_PER_ROUND = 5_000
"""The same for a round of one training, with the site's part of the round's line in `rounds.jsonl`."""


def run_folder_bytes(experiment: Experiment, costs: MeasuredCosts, training_scans: Sequence[int]) -> int:
    """Estimate the size of the folder of a run, or of one fold, in bytes.

    Logs of TensorBoard and MLflow and saliency maps come on top. A test compares it with the folder of a run.

    Args:
        experiment: The experiment.
        costs: Its measured costs.
        training_scans: Number of training scans of each site; few have no statistics of features.
    """
    sites, rounds, baselines = len(experiment.sites), experiment.training.rounds, experiment.baselines
    trainings = 1 + ("centralized" in baselines)
    trainings += sites * (("local" in baselines) + ("leave_one_site_out" in baselines))
    tensors = 2 * trainings * costs.state_bytes + 2 * sites * costs.remembered_bytes
    described = sum(scans >= MIN_SCANS for scans in training_scans)
    tensors += described * _statistics(experiment)
    recorded_rounds = rounds * (1 + ("local" in baselines) + (sites - 1) * ("leave_one_site_out" in baselines))
    records = sites * (RECORD_BYTES_PER_SITE + RECORD_BYTES_PER_ROUND * recorded_rounds)
    return tensors + records + REPORT_BYTES + sites * REPORT_BYTES_PER_SITE


def _statistics(experiment: Experiment) -> int:
    """The size of a site's feature statistics: mean and covariance in float64."""
    channels = experiment.encoder.features.channels if experiment.encoder is not None else 0
    return 8 * channels * (channels + 1)
