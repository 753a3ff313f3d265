from pathlib import Path

from fedtune3d._utils.folders.run import RunFolder
from fedtune3d._utils.folders.site import SiteFolder


def test_what_stays_at_a_site_is_under_its_own_folder() -> None:
    run = RunFolder(Path("run"))
    site = run.site("A")
    at_site = [site.splits, site.flow, site.egress, site.example("x"), site.saliency, site.predictions(), site.memory()]
    assert all(path.is_relative_to("run/sites/A") for path in at_site)
    may_leave = [run.summary("A"), run.saliency_map("A", "trained"), run.feature_statistics("A"), run.local_rounds("A")]
    assert not any(Path(getattr(path, "path", path)).is_relative_to("run/sites") for path in may_leave)


def test_methods_and_namespaces_have_files_of_their_own() -> None:
    site = SiteFolder(Path("A"))
    assert site.predictions("local") != site.predictions()
    assert site.memory("local") != site.memory()
    run = RunFolder(Path("run"))
    ledgers = {rounds.ledger for rounds in (run.rounds, run.local_rounds("A"), run.rounds_without("A"))}
    assert len(ledgers | {run.centralized_rounds.ledger}) == 4
