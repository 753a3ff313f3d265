"""The report of a run: one HTML page that opens offline, with its figures next to it."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.version import __version__
from fedtune3d.config.class_names import ClassNames
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report import number_formatting, sample_sizes
from fedtune3d.report.budget import budgets_of
from fedtune3d.report.figures.auc_per_site import draw_auc_per_site
from fedtune3d.report.figures.calibration import draw_calibration
from fedtune3d.report.figures.drawing import Drawing
from fedtune3d.report.figures.intensity_profiles import draw_intensity_profiles
from fedtune3d.report.figures.learning_curves import draw_learning_curves
from fedtune3d.report.figures.mean_saliency import draw_mean_saliency
from fedtune3d.report.figures.outcome import draw_outcome
from fedtune3d.report.figures.roc import draw_roc
from fedtune3d.report.figures.weights_per_round import draw_weights, weights_sentence
from fedtune3d.report.first_screen import SECTIONS, first_screen
from fedtune3d.report.for_paper import ForPaper, for_paper, save_for_paper
from fedtune3d.report.live_progress import best_so_far, site_progress, stages
from fedtune3d.report.page_figures import as_figure, data_uri
from fedtune3d.report.run_contents import RunContents, read_run
from fedtune3d.report.run_parts import ResultParts, RunParts
from fedtune3d.report.unbroken import unbroken, with_code

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
        live: `status`, one sentence on the run's progress; `version`, which changes whenever the page would; `started`,
            when the process began.
    """
    return _render(contents, _draw(contents), for_paper(contents), live)


def _draw(contents: RunContents) -> dict[str, Drawing]:
    """Draw the figures for which there are data, by name."""
    metrics, names, rule = contents.metrics, contents.names, _rule(contents)
    of_two = metrics if metrics and metrics.outcome.is_binary else None
    best_round = metrics.best_round if metrics else None
    needs_weights = not weights_sentence(contents.ledger, contents.sites, rule)
    drawn = [
        draw_auc_per_site(of_two, budgets_of(contents), names) if of_two else None,
        draw_roc(of_two, contents.sites, names) if of_two else None,
        draw_calibration(of_two, names) if of_two else None,
        *(draw_outcome(metrics) if metrics else []),
        draw_intensity_profiles(contents.profiles),
        draw_learning_curves(contents.ledger, contents.sites, best_round, contents.outcome),
        draw_weights(contents.ledger, contents.sites, rule) if needs_weights else None,
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
        number_formatting.sentence_case,
        number_formatting.about,
        number_formatting.threshold,
        number_formatting.utc,
        sample_sizes.people_by_class,
        sample_sizes.scans_by_class,
        sample_sizes.percentage,
        unbroken,
        with_code,
    ):
        templates.filters[filter.__name__] = filter
    return templates


def asset(name: str) -> str:
    """Read a style sheet or script to embed in a page."""
    return (files("fedtune3d.report") / "templates" / name).read_text(encoding="utf-8")


def _render(
    contents: RunContents, drawings: dict[str, Drawing], texts: ForPaper | None, live: dict[str, str] | None = None
) -> str:
    metrics, names = contents.metrics, contents.names
    results = None if metrics is None else ResultParts.of(contents, metrics, names)
    template = environment().get_template("run.html")
    return template.render(
        contents=contents,
        metrics=metrics,
        names=names,
        first=first_screen(contents, names),
        sections=[*([("progress", "Progress")] if live else []), *_sections(contents)],
        mapped=_mapped(contents, names),
        style=asset("report.css"),
        script=asset("page.js"),
        live=live,
        watch=asset("watch.js") if live else "",
        version=__version__,
        caveat=number_formatting.caveat(contents.facts),
        figures={name: as_figure(drawing, saved=live is None) for name, drawing in drawings.items()},
        weights_sentence=weights_sentence(contents.ledger, contents.sites, _rule(contents)),
        examples=_examples(contents),
        for_paper=texts,
        configuration=yaml.safe_dump(contents.config, sort_keys=False, allow_unicode=True),
        stages=stages(contents) if live else (),
        site_progress=site_progress(contents) if live else (),
        best_so_far=best_so_far(contents) if live else "",
        **vars(RunParts.of(contents, names)),
        **({} if results is None else vars(results)),
    )


def _sections(contents: RunContents) -> list[tuple[str, str]]:
    """Return the sections that the page of a run has, with their titles."""
    missing = set() if contents.metrics else {"auc"}
    if contents.metrics is None or not contents.outcome.is_binary:
        missing |= {"operating", "calibration", "groups"}
    if not contents.saliency:
        missing.add("looks")
    return [(name, title) for name, title in SECTIONS if name not in missing]


def _mapped(contents: RunContents, names: ClassNames) -> str:
    """Say whose scans saliency maps are of."""
    if isinstance(contents.outcome, NumberOutcome):
        return "all people"
    return f"people labelled {(contents.config.get('explain') or {}).get('of') or names.positive}"


def _rule(contents: RunContents) -> str:
    return number_formatting.rule_title(contents.config.get("aggregation", {}).get("rule", "the rule"))


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
            sources.append(data_uri(content, "png"))
        why = why or ("" if sources else "this run folder has none")
        shown.append(SiteExamples(site, tuple(sources), why))
    return shown
