"""Tasks for the sites on the best state after the rounds: feature statistics and mean saliency maps."""

from collections.abc import Sequence

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.state_dicts import load_state, save_state
from fedtune3d.aggregation.site_step import STATE
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.mean_maps import ask_for_maps, write_maps
from fedtune3d.federation.messages import Federation, Task, answer_of
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.round_state import read_best_state
from fedtune3d.federation.tasks.describe_features import STATISTICS, DescribeFeatures
from fedtune3d.models.classifier import Classifier


def write_feature_statistics(
    process_model: ProcessModel, federation: Federation, sites: Sequence[str], folder: RunFolder
) -> None:
    """Write the statistics of the best state's features on each site's training scans, for `fedtune3d predict`."""
    if not isinstance(process_model.assembled.model, Classifier):
        return  # no separate encoder and head
    best, versions = load_state(folder.best_checkpoint), read_best_state(folder.best_checkpoint).versions
    tasks = {site: Task(DescribeFeatures(), parts={STATE: best}, memory_version=versions.get(site)) for site in sites}
    for reply in federation.ask(tasks):
        if STATISTICS in (answer := answer_of(reply)).parts:
            save_state(folder.feature_statistics(answer.site), answer.parts[STATISTICS], {})


def write_saliency(experiment: Experiment, federation: Federation, sites: Sequence[str], folder: RunFolder) -> None:
    """Write the mean saliency maps of the best state of each site without one, if the experiment requests them."""
    if experiment.explain is None:
        return
    missing = [name for name in sites if not folder.saliency_info(name).exists()]
    best, versions = load_state(folder.best_checkpoint), read_best_state(folder.best_checkpoint).versions
    for site_maps in ask_for_maps(experiment, federation, missing, best, versions):
        write_maps(site_maps, folder)
