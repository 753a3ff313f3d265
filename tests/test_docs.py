"""The docs' examples are valid."""

import re
from pathlib import Path

import pytest

from fedtune3d.aggregation.registry import rules
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Study
from fedtune3d.config.study_axes import Draw

ROOT = Path(__file__).parents[1]


def test_the_documented_experiment_is_valid_and_says_the_defaults(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "experiment.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert found
    path = tmp_path / "experiment.yaml"
    path.write_text(found[1])
    documented = Experiment.from_yaml(path)
    plain = Experiment.model_validate(
        {"name": "x", "sites": [{"name": "A"}], "labels": {"positive": ["AD"], "negative": ["CN"]}}
    )
    for part in (
        "splits",
        "model",
        "tuning",
        "aggregation",
        "participation",
        "privacy",
        "on_bad_scan",
        "threads",
        "device",
        "log",
    ):
        assert getattr(documented, part) == getattr(plain, part), part
    assert documented.training == plain.training
    assert documented.sites[0].policy == plain.sites[0].policy


def test_the_documented_site_yaml_is_valid_and_says_the_defaults(tmp_path: Path) -> None:
    pytest.importorskip("flwr")
    from fedtune3d.federation.flower.site_folder import SitePolicy, SiteSettings

    text = (ROOT / "docs" / "deploy.md").read_text()
    found = re.search(r"Every key of .*?```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert found
    (tmp_path / "site.yaml").write_text(found[1])
    documented = SiteSettings.read(tmp_path)
    plain = SiteSettings(name=documented.name, server=documented.server, data=documented.data)
    own = {name: tmp_path / getattr(plain, name) for name in ("work", "signing_key", "trusted")}
    assert documented == plain.model_copy(update=own)
    assert set(re.findall(r"^  (\w+):", found[1], flags=re.MULTILINE)) == set(SitePolicy.model_fields) - {
        "pictures_leave"
    }


def test_every_rule_is_named_in_the_docs() -> None:
    text = (ROOT / "docs" / "experiment.md").read_text()
    assert all(f"`{name}`" in text for name in rules())


PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("benchmarks/*.md"))]


def _anchors(page: Path) -> set[str]:
    """The anchors of a page: those that GitHub makes of its headings, and those that it names itself."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a name="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_map_of_the_rooms_names_every_room_and_files_that_exist() -> None:
    rows = re.findall(r"^\| `([\w/]+)/` \|(.*)\|$", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    package = ROOT / "src" / "fedtune3d"
    missing = [
        f"{room}/{name}"
        for room, row in rows
        for name in re.findall(r"`([\w/]+\.py|[\w/]+/)`", row)
        if not (package / room / name).exists()
    ]
    assert missing == []
    rooms = {path.name for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {room for room, _ in rows if "/" not in room} == rooms


def test_the_example_of_a_cross_validation_is_valid() -> None:
    experiment = Experiment.from_yaml(ROOT / "examples" / "cross_validation.yaml")
    assert experiment.validation is not None
    assert len(list(experiment.validation.all_folds())) == 10


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("study*.yaml")), ids=lambda path: path.stem)
def test_the_example_studies_are_valid(path: Path) -> None:
    study = Study.from_yaml(path)
    if path.stem == "study_privacy":  # which compares ε, not heads
        trials = [
            study.experiment(combination, Draw(0))
            for combination in study.rules_stage(study.base.head, study.base.tuning)
        ]
        assert [trial.privacy.epsilon for trial in trials] == [None, 8, 3, 1]
        return
    if path.stem == "study_encoders":  # which compares encoders, not heads
        assert [variant.name for variant in study.variants["encoders"]] == ["deepbet", "vit_b", "volumes"]
        return
    assert len(study.heads_stage()) > 2
    assert {"linear", "conv_s"} <= {variant.name for variant in study.variants["heads"]}
    assert {"frozen", "lora"} <= {variant.name for variant in study.variants["tunings"]}
    assert [variant.name for variant in study.variants["rules"]] == ["simpleavg", "fedavg", "fedce", "rate_my_lora"]


def test_every_test_that_the_threat_model_names_exists() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text()
    tests = list((ROOT / "tests").rglob("test_*.py"))  # some of one name, in two rooms
    defined = {name for path in tests for name in re.findall(r"^def (test_\w+)", path.read_text(), flags=re.MULTILINE)}
    named = set(re.findall(r"`(test_\w+(?:\.py)?)`", text))
    assert len(named) > 40
    assert named - defined - {path.name for path in tests} == set()
