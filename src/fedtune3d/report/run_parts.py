"""The contents of the sections of a run's page, under the names that its templates use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import in_shown_order
from fedtune3d.report import against, balance, flow, membership, privacy, run_statistics, run_tables, saliency, table
from fedtune3d.report.figures.drawing import Cell
from fedtune3d.report.number_formatting import METHODS, sentence_case
from fedtune3d.report.outcome_reading import outcome_methods, reading_lines
from fedtune3d.report.outcome_tables import OutcomeTable, main_table, measured_tables
from fedtune3d.report.participants import audit_notices, checked_sentences, participants_sentence
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.run_few import RunFew, ShownRows, run_few
from fedtune3d.report.sample_sizes import scans_differ
from fedtune3d.report.statements import calibration_words
from fedtune3d.report.what_left import what_left

TextRow = Mapping[str, str]
Lines = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class RunParts:
    """Rows and sentences of a run that may still be in progress."""

    map_rows: Sequence[TextRow]
    share_rows: Sequence[TextRow]
    map_notes: Sequence[str]
    map_warnings: Sequence[str]
    what_ran: Lines
    participants_sentence: str
    checked_sentences: Sequence[str]
    flow_columns: Sequence[str]
    flow_rows: Sequence[flow.FlowRow]
    audit_notices: Sequence[str]
    balance_rows: Sequence[balance.BalanceRow]
    balance_heads: Sequence[str]
    bad_scans: Sequence[TextRow]
    warning_rows: Sequence[TextRow]
    rounds: Sequence[Mapping[str, Cell]]
    left_out: Sequence[Mapping[str, Cell]]
    server_saw: str
    what_left: Sequence[str]
    privacy_rows: Sequence[TextRow]
    privacy_notes: Sequence[str]
    cost_rows: Sequence[TextRow]
    memory_of: str

    @classmethod
    def of(cls, contents: RunContents, names: ClassNames) -> Self:
        """Collect them from the contents of a run folder."""
        regions = (contents.config.get("explain") or {}).get("regions", {})
        flows = [contents.flows.get(site) for site in contents.sites] if contents.flows else []
        return cls(
            map_rows=saliency.map_rows(contents.saliency),
            share_rows=saliency.share_rows(contents.saliency, regions),
            map_notes=saliency.notes(contents.saliency),
            map_warnings=saliency.warnings(contents.saliency),
            what_ran=run_tables.what_ran(contents),
            participants_sentence=participants_sentence(contents, names),
            checked_sentences=checked_sentences(contents),
            flow_columns=flow.flow_columns(contents.sites),
            flow_rows=flow.flow_rows(flows, names.in_order) if flows else [],
            audit_notices=audit_notices(contents),
            balance_rows=balance.balance_rows(contents.audit.described, len(names.in_order)) if contents.audit else [],
            balance_heads=[
                head
                for name in in_shown_order(names.in_order)
                for head in (name.capitalize() if len(names.in_order) == 1 else name, "Age")
            ],
            bad_scans=run_tables.bad_scans(contents),
            warning_rows=run_tables.warning_rows(contents),
            rounds=run_tables.round_rows(contents),
            left_out=run_tables.left_out_rows(contents),
            server_saw=run_tables.server_saw(contents),
            what_left=what_left(contents),
            privacy_rows=privacy.privacy_rows(contents),
            privacy_notes=privacy.privacy_notes(contents),
            cost_rows=run_tables.cost_rows(contents),
            memory_of=run_tables.memory_of(contents.environment.device if contents.environment else None),
        )


@dataclass(frozen=True)
class ResultParts:
    """Rows and sentences of a finished run."""

    methods: Mapping[str, str]
    auc_rows: Sequence[table.AucRow]
    scans_differ: bool
    delong_rows: Sequence[table.AucRow]
    against_rows: Sequence[against.AgainstRow]
    compared: str
    few: RunFew
    budget_note: str
    interval_methods: Sequence[str]
    calibration_sentence: str
    group_rows: Sequence[run_statistics.GroupRow]
    gap_sentence: str
    grid_note: str
    groups_title: str
    held_back: str
    membership_sentence: str
    membership_methods: Mapping[str, str]
    membership_rows: Sequence[membership.MembershipRow]
    cost_lines: Lines
    outcome_tables: Sequence[OutcomeTable]
    reading: Sequence[str]

    @classmethod
    def of(cls, contents: RunContents, metrics: RunMetrics, names: ClassNames) -> Self:
        """Collect them from the metrics of a run."""
        rows = ShownRows(
            auc=table.auc_rows(metrics),
            delong=run_statistics.delong_rows(metrics),
            against=against.against_rows(metrics),
            groups=run_statistics.group_rows(metrics),
            membership=membership.membership_rows(metrics),
        )
        pooled = metrics.of_two_classes.pooled if metrics.of_two_classes else None
        return cls(
            methods={name: METHODS[name] for name in table.shown_methods(metrics)},
            auc_rows=rows.auc,
            scans_differ=scans_differ(row.test for row in rows.auc if row.test is not None),
            delong_rows=rows.delong,
            against_rows=rows.against,
            compared=sentence_case(against.compared_measure(metrics)),
            few=run_few(metrics, rows),
            budget_note=against.budget_note(contents),
            interval_methods=sorted({*run_tables.interval_methods(metrics), *outcome_methods(metrics)}),
            calibration_sentence="" if pooled is None else calibration_words(pooled.calibration, names),
            group_rows=rows.groups,
            gap_sentence=run_statistics.gap_sentence(metrics),
            grid_note=run_statistics.grid_note(metrics),
            groups_title=run_statistics.groups_title(metrics),
            held_back=run_statistics.held_back_sentence(metrics, [*map(contents.min_per_class, contents.sites)]),
            membership_sentence=membership.membership_sentence(metrics),
            membership_methods=membership.attacked_methods(metrics),
            membership_rows=rows.membership,
            cost_lines=run_tables.cost_lines(metrics.cost),
            outcome_tables=[] if metrics.outcome.is_binary else [main_table(metrics), *measured_tables(metrics)],
            reading=reading_lines(metrics.outcome),
        )
