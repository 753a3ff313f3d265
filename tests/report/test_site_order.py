import shutil
from dataclasses import replace
from pathlib import Path

from outcome_metrics import class_metrics, number_metrics
from run_editing import change_config

from fedtune3d._utils.typed_json import to_json
from fedtune3d.evaluation.metrics import read_metrics
from fedtune3d.preparation.profiles import Profiles, SiteProfile
from fedtune3d.report.run_contents import read_run
from fedtune3d.report.site_order import by_site, ordered_metrics, ordered_profiles


def test_what_is_no_site_follows_as_it_is() -> None:
    assert list(by_site({"A": 1, "B": 2, "Pooled": 3}, ["C", "B", "A"])) == ["B", "A", "Pooled"]


def test_a_report_has_the_sites_in_the_order_of_the_configuration(finished_run: Path, tmp_path: Path) -> None:
    metrics = read_metrics(finished_run / "metrics.json")
    order = ["Lagos", "Graz", "Boston", "Amsterdam"]
    ordered = ordered_metrics(metrics, order)
    for method in ordered.methods.values():
        assert list(method.sites) == order
        assert method.membership is not None
        assert list(method.membership.sites) == order
    assert list(ordered.against["local"].sites) == order
    assert list(ordered.federated.groups["site"].groups) == [
        site for site in order if site in metrics.federated.groups["site"].groups
    ]
    folder = Path(shutil.copytree(finished_run, tmp_path / "run"))
    change_config(folder, lambda config: config["sites"].sort(key=lambda site: order.index(site["name"])))
    read = read_run(folder)
    assert read.metrics is not None
    assert list(read.metrics.federated.sites) == read.sites == order
    assert ordered == metrics  # mappings are equal in any order: no number has changed
    assert to_json(ordered_metrics(ordered, list(metrics.federated.sites))) == to_json(metrics)


def test_classes_and_numbers_are_in_that_order_too(finished_run: Path) -> None:
    order = ["Graz", "Boston", "Amsterdam"]
    run = replace(
        read_metrics(finished_run / "metrics.json"),
        class_methods={"federated": class_metrics()},
        number_methods={"federated": number_metrics()},
    )
    ordered = ordered_metrics(run, order)
    assert list(ordered.class_methods["federated"].parts) == [*order, "Pooled"]
    assert list(ordered.number_methods["federated"].parts) == [*order, "Pooled"]
    assert list(ordered.number_methods["federated"].corrections) == order


def test_pairs_of_profiles_are_in_that_order() -> None:
    sites = {name: SiteProfile(3, (1.0,)) for name in "ABC"}
    profiles = Profiles((0.0, 1.0), sites, (("A", "B", 0.1), ("A", "C", 0.2), ("B", "C", 0.3)))
    pairs = ordered_profiles(profiles, ["C", "A", "B"]).wasserstein
    assert pairs == (("C", "A", 0.2), ("C", "B", 0.3), ("A", "B", 0.1))
