"""The difference between two combinations of a study on the same test scans, over seeds or folds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.against_baselines import AnyComparison
from fedtune3d.evaluation.cross_validated import inflation
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.paired import paired_macro_auc_over_seeds
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.evaluation.paired import combine_comparisons, paired_over_seeds
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.paired import (
    combine_error_comparisons,
    paired_errors_over_seeds,
)
from fedtune3d.federation.site.predictions_table import (
    read_class_predictions,
    read_number_predictions,
    read_predictions,
)
from fedtune3d.report.study_contents import Row, StudyContents

Read = TypeVar("Read")


class _Tables(NamedTuple):
    """The site's half of the run folders of two trials, and their methods."""

    halves: tuple[Path, Path]
    methods: tuple[str, str]


def compare(contents: StudyContents, row: Row, chosen: Row, seeds: Sequence[int]) -> AnyComparison | None:
    """Return the mean difference row − chosen over sites and seeds; None if no site has predictions of both here."""
    found = {
        site: {seed: tables for seed in seeds if (tables := _tables_of_both(contents, row, chosen, seed, site))}
        for site in contents.sites
    }
    by_site = {site: tables for site, tables in found.items() if tables}
    if not by_site:
        return None
    outcome, how = contents.results.outcome, (contents.unit, _inflation(contents))
    if isinstance(outcome, NumberOutcome):

        def numbers(half: Path, method: str) -> NumberPredictions:
            return read_number_predictions(half, outcome, method)

        return combine_error_comparisons(
            {site: paired_errors_over_seeds(_read(tables, numbers), *how) for site, tables in by_site.items()}
        )
    if outcome.is_binary:
        return combine_comparisons(
            {site: paired_over_seeds(_read(tables, read_predictions), *how) for site, tables in by_site.items()}
        )

    def classes(half: Path, method: str) -> ClassPredictions:
        return read_class_predictions(half, outcome, method)

    return combine_comparisons(
        {site: paired_macro_auc_over_seeds(_read(tables, classes), *how) for site, tables in by_site.items()}
    )


def _read(tables: Mapping[int, _Tables], read: Callable[[Path, str], Read]) -> dict[int, tuple[Read, Read]]:
    """Read both models' test predictions of each seed."""
    return {
        seed: (read(both.halves[0], both.methods[0]), read(both.halves[1], both.methods[1]))
        for seed, both in tables.items()
    }


def _tables_of_both(contents: StudyContents, row: Row, chosen: Row, seed: int, site: str) -> _Tables | None:
    """Find both models' test predictions of a seed at a site; None if one is missing."""
    trials = [compared.trials.get(seed) for compared in (row, chosen)]
    first, second = (contents.runs.get(trial) if trial else None for trial in trials)
    if first is None or second is None or not first.metrics or not second.metrics:
        return None
    halves = [RunFolder(run.path).site(site) for run in (first, second)]
    if not all(half.predictions().exists() for half in halves):
        return None
    return _Tables((halves[0].path, halves[1].path), (row.method, chosen.method))


def _inflation(contents: StudyContents) -> float:
    """The factor of the variance over the folds of a cross-validation; 1 for seeds."""
    folds = [draw.fold for draw in contents.results.folds.values() if draw.fold]
    return inflation(folds[0].folds, max(fold.repeat for fold in folds)) if folds else 1.0
