"""The report of a run: one HTML page that opens offline, with its figures next to it."""

import base64
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.version import __version__
from fedtune3d.report import (
    against,
    balance,
    flow,
    membership,
    number_formatting,
    privacy,
    run_statistics,
    run_tables,
    saliency,
    sample_sizes,
    table,
)
from fedtune3d.report.budget import budgets_of
from fedtune3d.report.figures.auc_per_site import draw_auc_per_site
from fedtune3d.report.figures.calibration import draw_calibration
from fedtune3d.report.figures.drawing import Drawing
from fedtune3d.report.figures.intensity_profiles import draw_intensity_profiles
from fedtune3d.report.figures.learning_curves import draw_learning_curves
from fedtune3d.report.figures.mean_saliency import draw_mean_saliency
from fedtune3d.report.figures.roc import draw_roc
from fedtune3d.report.figures.weights_per_round import draw_weights
from fedtune3d.report.for_paper import ForPaper, for_paper, save_for_paper
from fedtune3d.report.run_contents import RunContents, read_run

PICTURE_BUDGET_BYTES = 2_500_000
"""Limit on the example pictures in a page, which keeps it under 5 MB; the others stay in the run folder."""
PICTURES_PER_SITE = 3


def write_report(run_folder: Path) -> Path:
    """Write `report.html` and `figures/` of a run folder from what it holds, and return the page's path.

    A finished run also gets the texts for a paper, `methods.md` and `tripod_ai.md`; the page of a run in progress has
    no results. Pictures and names of scans are included only if the site's policy in the configuration lets them leave.

    Raises:
        InputError: If the folder holds no run, or a file in it is damaged.
    """
    contents = read_run(Path(run_folder))
    drawings = _draw(contents)
    for drawing in drawings.values():
        drawing.save(RunFolder(contents.path).figures)
    if (texts := for_paper(contents)) is not None:
        save_for_paper(texts, RunFolder(contents.path))
    page = RunFolder(contents.path).report
    write_text(page, _render(contents, drawings, texts))
    return page


def render_live(contents: RunContents, live: dict[str, str]) -> str:
    """Render the page of a run in progress, which follows the run while it is served; writes nothing.

    Args:
        contents: The contents of the run folder.
        live: `status`, one sentence on the run's progress; `version`, which changes whenever the page would.
    """
    return _render(contents, _draw(contents), for_paper(contents), live)


def _draw(contents: RunContents) -> dict[str, Drawing]:
    """Draw the figures for which there are data, by name."""
    rule = number_formatting.rule_title(contents.config.get("aggregation", {}).get("rule", "the rule"))
    drawn = [
        draw_auc_per_site(contents.metrics, budgets_of(contents)) if contents.metrics else None,
        draw_roc(contents.metrics, contents.sites) if contents.metrics else None,
        draw_calibration(contents.metrics) if contents.metrics else None,
        draw_intensity_profiles(contents.profiles),
        draw_learning_curves(
            contents.ledger, contents.sites, contents.metrics.best_round if contents.metrics else None
        ),
        draw_weights(contents.ledger, contents.sites, rule),
        draw_mean_saliency(contents.saliency, RunFolder(contents.path)),
    ]
    drawings = {drawing.name: drawing for drawing in drawn if drawing is not None}
    for drawing in drawings.values():
        drawing.note(number_formatting.short_caveat(contents.facts))
    return drawings


@cache
def environment() -> Environment:
    """Return the Jinja environment with the templates and filters of all pages, which compiles each template once."""
    templates = Environment(
        loader=PackageLoader("fedtune3d.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    for filter in (
        number_formatting.interval,
        number_formatting.difference,
        number_formatting.p_value,
        number_formatting.plural,
        number_formatting.threshold,
        sample_sizes.people_by_class,
        sample_sizes.scans_by_class,
        sample_sizes.percentage,
    ):
        templates.filters[filter.__name__] = filter
    return templates


def asset(name: str) -> str:
    """Read a style sheet or script to embed in a page."""
    return (files("fedtune3d.report") / "templates" / name).read_text(encoding="utf-8")


def _render(
    contents: RunContents, drawings: dict[str, Drawing], texts: ForPaper | None, live: dict[str, str] | None = None
) -> str:
    metrics = contents.metrics
    template = environment().get_template("report.html")
    return template.render(
        contents=contents,
        metrics=metrics,
        style=asset("report.css"),
        script=asset("tables.js"),
        live=live,
        watch=asset("watch.js") if live else "",
        version=__version__,
        answer=number_formatting.answer(metrics, contents.total_bytes) if metrics else None,
        caveat=number_formatting.caveat(contents.facts),
        figures={name: as_figure(drawing, saved=live is None) for name, drawing in drawings.items()},
        methods={name: number_formatting.METHODS[name] for name in table.shown_methods(metrics)} if metrics else {},
        auc_rows=table.auc_rows(metrics) if metrics else [],
        against_rows=against.against_rows(metrics) if metrics else [],
        budget_note=against.budget_note(contents),
        interval_methods=run_tables.interval_methods(metrics) if metrics else [],
        delong_rows=run_statistics.delong_rows(metrics) if metrics else [],
        group_rows=run_statistics.group_rows(metrics) if metrics else [],
        grid_note=run_statistics.grid_note(metrics) if metrics else "",
        held_back=run_statistics.held_back(metrics) if metrics else [],
        membership_sentence=membership.membership_sentence(metrics) if metrics else "",
        membership_methods=membership.attacked_methods(metrics) if metrics else {},
        membership_rows=membership.membership_rows(metrics) if metrics else [],
        map_rows=saliency.map_rows(contents.saliency),
        share_rows=saliency.share_rows(contents.saliency, (contents.config.get("explain") or {}).get("regions", {})),
        map_notes=saliency.notes(contents.saliency),
        map_warnings=saliency.warnings(contents.saliency),
        what_ran=run_tables.what_ran(contents),
        flow_columns=flow.flow_columns(contents.sites),
        flow_rows=flow.flow_rows([contents.flows.get(site) for site in contents.sites]) if contents.flows else [],
        audit=contents.audit,
        balance_rows=balance.balance_rows(contents.audit.described) if contents.audit else [],
        bad_scans=run_tables.bad_scans(contents),
        warning_rows=run_tables.warning_rows(contents),
        rounds=run_tables.round_rows(contents),
        left_out=run_tables.left_out_rows(contents),
        privacy_rows=privacy.privacy_rows(contents),
        privacy_notes=privacy.privacy_notes(contents),
        cost_lines=run_tables.cost_lines(metrics.cost) if metrics else [],
        cost_rows=run_tables.cost_rows(contents),
        memory_of=run_tables.memory_of(contents.environment.device if contents.environment else None),
        examples=_examples(contents),
        for_paper=texts,
        configuration=yaml.safe_dump(contents.config, sort_keys=False, allow_unicode=True),
    )


@dataclass(frozen=True)
class PageFigure:
    """A figure in a page; `source` is its data URI, and `saved` whether its files are in the folder as well."""

    name: str
    title: str
    description: str
    source: str
    saved: bool


def as_figure(drawing: Drawing, saved: bool = True) -> PageFigure:
    """Prepare a figure for a page."""
    return PageFigure(drawing.name, drawing.title, drawing.description, _data_uri(drawing.svg, "svg+xml"), saved)


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


@dataclass(frozen=True)
class SiteExamples:
    """A site's example pictures as data URIs, and the reason if some are missing; empty if all are shown."""

    site: str
    sources: tuple[str, ...]
    why: str


def _examples(contents: RunContents) -> list[SiteExamples]:
    shown, spent = [], 0
    for site in contents.sites:
        sources, why = [], ""
        if not contents.policy(site, "pictures_leave"):
            why = "the site's policy does not let pictures leave"
        for path in contents.examples.get(site, [])[:PICTURES_PER_SITE]:
            content = path.read_bytes()
            spent += len(content)
            if spent > PICTURE_BUDGET_BYTES:
                why = f"more pictures are in sites/{site}/examples; they would make this page too large"
                break
            sources.append(_data_uri(content, "png"))
        why = why or ("" if sources else "this run folder has none")
        shown.append(SiteExamples(site, tuple(sources), why))
    return shown
