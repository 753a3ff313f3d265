"""The tables of a study (its three stages, efficiency, paired differences), for the terminal and for the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.config.study_results import EncodingCost
from fedtune3d.evaluation.against_baselines import AnyComparison
from fedtune3d.evaluation.multiplicity import holm
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report.budget import labelled
from fedtune3d.report.figures.drawing import Cell
from fedtune3d.report.number_formatting import duration, encoder_title, plural, size, weights_title
from fedtune3d.report.shown_measure import ShownMeasure
from fedtune3d.report.study_captions import state_of_row, with_spread
from fedtune3d.report.study_comparison import compare
from fedtune3d.report.study_contents import CROSSED, Row, StudyContents, with_differences
from fedtune3d.report.study_estimates import StudyEstimate
from fedtune3d.report.study_operating import people_tested

TITLES = {
    "encoders": "Encoders",
    "heads": "Heads",
    "tunings": "Tunings",
    "rules": "Aggregation rules",
    CROSSED: "All combinations",
}


def stage_tables(contents: StudyContents) -> list[Table]:
    """Return one table per stage with something to compare: the main measure of test scans per site and variant."""
    return [_stage_table(contents, stage, contents.stages[stage]) for stage in compared_stages(contents)]


def compared_stages(contents: StudyContents) -> list[str]:
    """Return the stages with more than one entry; all of them if the study has one combination only."""
    return [stage for stage, rows in contents.stages.items() if len(rows) > 1] or list(contents.stages)


def _stage_table(contents: StudyContents, stage: str, rows: list[Row]) -> Table:
    people = f"people{_by_class(contents)}"
    title = f"{TITLES[stage]}: test {contents.measure.head} [95% CI]; under each site its test {people}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    sites = [f"{site}\n{people}" for site, people in people_tested(contents).items()]
    for name in (TITLES[stage], f"Validation\n{contents.measure.validation_head}", *sites, "Mean"):
        table.add_column(Text(name))
    for row in rows:
        cells = [_two_lines(estimate) for estimate in (*row.sites.values(), row.mean)]
        shown = Text("\n".join(filter(None, (row.label, state_of_row(row)))), style="bold" if row.chosen else "")
        table.add_row(shown, _two_digits(row.validation), *cells)
    return table


def _by_class(contents: StudyContents) -> str:
    """Say in which order people are counted by class."""
    return "" if isinstance(contents.results.outcome, NumberOutcome) else f", {contents.names.both}"


def _two_lines(estimate: StudyEstimate) -> Text:
    """Put the CI below its number; a reason is shortened by its part in brackets, which only the page shows."""
    if estimate.estimate.value is None:
        return Text(with_spread(estimate).split(" (")[0])
    return Text(with_spread(estimate).replace(" [", "\n["))


def _two_digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def stage_data(rows: list[Row], unit: str, measure: ShownMeasure) -> list[dict[str, Cell]]:
    """Return the rows of a stage as tabular data: one line per variant and site (and 'Mean'); a trial is a `unit`."""
    return [
        {
            "variant": row.label,
            "kind": row.kind,
            "chosen": row.chosen,
            "site": site,
            measure.key: cell.estimate.value,
            "low": cell.estimate.low,
            "high": cell.estimate.high,
            f"sd_over_{unit}s": cell.sd,
            f"{unit}s": len(cell.values),
            "mark": cell.estimate.mark,
            "undefined": cell.estimate.undefined,
            "interval": cell.estimate.method,
        }
        for row in rows
        for site, cell in (*row.sites.items(), ("Mean", row.mean))
    ]


def interval_methods(rows: Sequence[Row]) -> list[str]:
    """Return the methods behind the CIs of a stage, sorted."""
    estimates = [cell.estimate for row in rows for cell in (*row.sites.values(), row.mean)]
    return sorted({method for estimate in estimates for method in estimate.method.split("; ")} - {""})


@dataclass(frozen=True)
class CostRow:
    """A federated combination with its cost; appears once, even if it is in several stages."""

    row: Row
    title: str

    @property
    def total_bytes(self) -> float:
        """All traffic of the run."""
        assert self.row.cost is not None
        return self.row.cost.total_bytes

    def cells(self, with_encoding: bool) -> list[tuple[str, float | None]]:
        """Return the cells in the order of `cost_columns`: text, and the number to sort by."""
        cost = self.row.cost
        assert cost is not None
        cells: list[tuple[str, float | None]] = [
            (f"{cost.rounds:.0f}", cost.rounds),
            (f"{cost.trainable_parameters:,.0f}", cost.trainable_parameters),
            (size(cost.bytes_per_round_and_site), cost.bytes_per_round_and_site),
            (size(cost.peak_memory_bytes), cost.peak_memory_bytes),
            (duration(cost.seconds_per_round), cost.seconds_per_round),
            (size(cost.total_bytes), cost.total_bytes),
        ]
        return [*cells, *_encoding_cells(cost.encoding)] if with_encoding else cells


def _encoding_cells(encoding: EncodingCost | None) -> list[tuple[str, float | None]]:
    if encoding is None:
        return [("–", None)] * len(_ENCODING_COLUMNS)
    return [
        (duration(encoding.seconds), encoding.seconds),
        (size(encoding.peak_bytes), encoding.peak_bytes),
        (size(encoding.feature_bytes), encoding.feature_bytes),
    ]


COST_COLUMNS = (
    "Rounds",
    "Trainable parameters",
    "Traffic per round and site, both ways",
    "Peak memory",
    "Time per round",
    "Total traffic",
)
_ENCODING_COLUMNS = ("Time to encode a scan", "Memory to encode a scan", "Cached features per scan")


def cost_columns(contents: StudyContents) -> tuple[str, ...]:
    """Return the columns of the efficiency table: also of encoding, in a study of several encoders."""
    return COST_COLUMNS + (_ENCODING_COLUMNS if contents.results.encoding else ())


def cost_rows(contents: StudyContents) -> list[CostRow]:
    """Return the federated combinations that have results, in the order of the stages."""
    rows: dict[str, Row] = {}
    for of_stage in contents.stages.values():
        for row in of_stage:
            if row.cost is not None:
                rows.setdefault(row.key, row)
    return [CostRow(row, labelled(row.full_title, row.differs)) for row in with_differences(list(rows.values()))]


def cost_data(contents: StudyContents) -> list[dict[str, Cell]]:
    """Return the efficiency table as tabular data."""
    return [_cost_data(cost_row, contents) for cost_row in cost_rows(contents)]


def _cost_data(cost_row: CostRow, contents: StudyContents) -> dict[str, Cell]:
    cost, mean = cost_row.row.cost, cost_row.row.mean
    assert cost is not None  # as it has a row
    encoding = cost.encoding
    of_encoder: dict[str, Cell] = {
        "encode_seconds_per_scan": None if encoding is None else encoding.seconds,
        "encode_peak_memory_bytes": None if encoding is None else encoding.peak_bytes,
        "feature_bytes_per_scan": None if encoding is None else encoding.feature_bytes,
    }
    return {
        "combination": cost_row.title,
        "rounds": cost.rounds,
        "trainable_parameters": cost.trainable_parameters,
        "bytes_per_round_and_site": cost.bytes_per_round_and_site,
        "peak_memory_bytes": cost.peak_memory_bytes,
        "seconds_per_round": cost.seconds_per_round,
        "total_bytes": cost.total_bytes,
        **(of_encoder if contents.results.encoding else {}),
        contents.measure.key: mean.estimate.value,
        "low": mean.estimate.low,
        "high": mean.estimate.high,
        f"sd_over_{contents.unit}s": mean.sd,
    }


@dataclass(frozen=True)
class PairedRow:
    """A variant minus the chosen one of its stage on the same test scans; the seed is None for all trials together."""

    stage: str
    title: str
    chosen: str
    seed: int | None
    comparison: AnyComparison
    adjusted: float | None


def paired_rows(contents: StudyContents) -> list[PairedRow]:
    """Compare each variant, reference and baseline of a stage with the chosen one: over all seeds, then per seed.

    Over the folds of a cross-validation, which are few people each, only together. P-values are adjusted by Holm over
    the comparisons of all trials together, and over those of each seed. Each site
    compares its own predictions, and only the difference and its standard error are used here, so its policy on
    predictions does not matter. Only sites whose half of the run folders is present have differences.
    """
    numbers = contents.numbers
    behind: list[tuple[int | None, list[int]]] = [(None, numbers)] if len(numbers) > 1 else []
    if contents.unit == "seed":
        behind += [(seed, [seed]) for seed in numbers]
    return [row for shown, trials in behind for row in _paired_rows(contents, shown, trials)]


def _paired_rows(contents: StudyContents, shown: int | None, seeds: list[int]) -> list[PairedRow]:
    pairs = [(stage, row, chosen, compare(contents, row, chosen, seeds)) for stage, row, chosen in _compared(contents)]
    made = [(stage, row, chosen, comparison) for stage, row, chosen, comparison in pairs if comparison]
    adjusted = holm([comparison.p_value for *_, comparison in made])
    return [
        PairedRow(stage, row.label, chosen.label, shown, comparison, p_value)
        for (stage, row, chosen, comparison), p_value in zip(made, adjusted, strict=True)
    ]


def _compared(contents: StudyContents) -> list[tuple[str, Row, Row]]:
    """List each row with the chosen one of its stage; a pair that is in several stages stands in the first."""
    pairs: dict[tuple[str, str], tuple[str, Row, Row]] = {}
    for stage, rows in contents.stages.items():
        for chosen in [row for row in rows if row.chosen]:
            for row in rows:
                if row.key != chosen.key:
                    pairs.setdefault((row.key, chosen.key), (stage, row, chosen))
    return list(pairs.values())


def paired_data(rows: list[PairedRow]) -> list[dict[str, Cell]]:
    """Return the paired differences as tabular data."""
    return [
        {
            "stage": row.stage,
            "variant": row.title,
            "less": row.chosen,
            "seed": "all" if row.seed is None else row.seed,
            "difference": row.comparison.difference.value,
            "low": row.comparison.difference.low,
            "high": row.comparison.difference.high,
            "p": row.comparison.p_value,
            "p_holm": row.adjusted,
            "scans": row.comparison.scans,
            "sites": len(row.comparison.sites),
            "undefined": row.comparison.difference.undefined,
        }
        for row in rows
    ]


def config_rows(contents: StudyContents) -> list[tuple[str, str]]:
    """Summarise the study as names and values."""
    facts = contents.facts
    trials = {trial for rows in contents.stages.values() for row in rows for trial in row.trials.values()}
    finished = [trial for trial in trials if trial in contents.runs and contents.runs[trial].metrics]
    first = next(iter(contents.runs.values()), None)
    lines = [
        ("Study", contents.results.name),
        ("Sites", f"{len(contents.sites)} ({', '.join(contents.sites)})"),
        (
            "Design",
            "stages, each with the best of the one before" if contents.results.design == "stages" else "crossed",
        ),
        ("Seeds", ", ".join(map(str, contents.results.seeds))),
        *([("Cross-validation", f"{_folds(contents)} per seed")] if contents.results.folds else []),
        ("Trials", f"{len(finished)} of {len(trials)} finished"),
    ]
    if "encoders" in contents.results.stages:
        lines += [("Encoder", text) for text in _encoders(contents)]
    else:
        lines += [
            ("Encoder", encoder_title(first.config.get("model", {}).get("encoder", "–")) if first else "–"),
            ("Weights", "not recorded yet" if facts is None else weights_title(facts.weights)),
        ]
    lines += [("Excluded", pair) for pair in contents.results.left_out]
    if first is not None and (environment := first.environment) is not None:
        lines.append(("Device", f"{environment.device}, threads: {environment.threads}"))
    return lines


def _folds(contents: StudyContents) -> str:
    """Describe the folds of each seed: `10 folds in 2 repeats`."""
    draws = contents.results.folds.values()
    folds = [draw.fold for draw in draws if draw.fold and draw.seed == contents.results.seeds[0]]
    return f"{plural(len(folds), 'fold')} in {plural(len({fold.repeat for fold in folds}), 'repeat')}"


def _encoders(contents: StudyContents) -> list[str]:
    """Return each encoder of the axis with its weights."""
    texts = []
    for row in contents.stages["encoders"]:
        if row.kind == "variant":
            metrics = next((run.metrics for run in contents.finished(row.trials).values()), None)
            weights = "not recorded yet" if metrics is None else weights_title(metrics.weights)
            texts.append(f"{row.parts['encoder']}: weights {weights}")
    return texts
