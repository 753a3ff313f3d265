"""What the server finds in answers made by hand, and what a site's answers hold."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.config.policy import Policy
from fedtune3d.federation.leak_audit import find_leaks
from fedtune3d.federation.site.audit import PeopleOfClass, ScanFingerprint, age_auc, people_by_split, read_key
from fedtune3d.federation.tasks.describe_people import PeopleDescription
from fedtune3d.federation.tasks.fingerprint_scans import SMALL_SPLIT, ScanFingerprints
from fedtune3d.preparation.near_fingerprints import SUSPICIOUS_BANDS
from fedtune3d.preparation.profiles import grid_points, intensity_profile, intensity_range, shared_grid, wasserstein


def row(name: str, near: Sequence[str] = (), **changes: str) -> ScanFingerprint:
    person = name.split("_")[0]
    values = {"scan": name, "person": person, "split": "train", "group": person, "id": person, "pattern": person}
    return ScanFingerprint(near=tuple(near), **(values | {"exact": name} | changes))


def prints(key: str | None, rows: Sequence[ScanFingerprint] = ()) -> ScanFingerprints:
    return ScanFingerprints(key=key, scans=tuple(rows))


def describe(
    records: Sequence[ScanRecord], splits: Mapping[tuple[str, str], str], fewest: int = 5
) -> PeopleDescription:
    return PeopleDescription(splits=people_by_split(records, splits, fewest), age_auc=age_auc(records, fewest, 1))


def found(**sites: list[ScanFingerprint]) -> list[tuple[str, str]]:
    answers = {site: prints("same", rows) for site, rows in sites.items()}
    return [(finding.level, finding.text) for finding in find_leaks(answers)]


def test_nothing_is_found_where_nothing_is() -> None:
    assert found(A=[row("sub-1_ses-1"), row("sub-1_ses-2"), row("sub-2", split="test")], B=[row("sub-3")]) == []


def test_two_sessions_in_two_splits() -> None:
    [(level, text)] = found(A=[row("sub-1_ses-1"), row("sub-1_ses-2", split="test")])
    assert level == "leak"
    assert text == "one person in two splits: A sub-1 (test: sub-1_ses-2; train: sub-1_ses-1)"


def test_a_declared_group_in_two_splits_of_two_sites() -> None:
    [(level, text)] = found(A=[row("sub-1", group="g")], B=[row("sub-9", group="g", split="test")])
    assert (level, text) == ("leak", "one group_id in two splits: B sub-9 (test) and A sub-1 (train)")


def test_one_image_at_two_sites_and_under_two_ids() -> None:
    copies = found(A=[row("sub-1", exact="x"), row("sub-2", exact="x")], B=[row("sub-3", exact="x", split="test")])
    assert copies == [("leak", "the same image under two ids: A sub-1 (train) and A sub-2 (train) and B sub-3 (test)")]


def test_one_image_twice_under_one_person_is_a_warning() -> None:
    [(level, text)] = found(A=[row("sub-1_ses-1", exact="x"), row("sub-1_ses-2", exact="x")])
    assert (level, "the same image 2 times" in text) == ("warning", True)


@pytest.mark.parametrize(("equal", "suspicious"), [(SUSPICIOUS_BANDS, True), (SUSPICIOUS_BANDS - 1, False)])
def test_equal_bands_are_counted_by_place(equal: int, suspicious: bool) -> None:
    first = [f"{band}" for band in range(20)]
    second = first[:equal] + first[equal + 1 :] + ["0"]
    warnings = found(A=[row("sub-1", near=first)], B=[row("sub-2", near=second)])
    assert [level for level, _ in warnings] == ["warning"] * suspicious
    assert not suspicious or f"({equal} of 512 bands equal): A sub-1 (train) and B sub-2 (train)" in warnings[0][1]


def test_one_persons_sessions_may_look_alike() -> None:
    bands = [str(band) for band in range(20)]
    assert found(A=[row("sub-1_ses-1", near=bands), row("sub-1_ses-2", near=bands)]) == []


def test_the_same_ids_and_ids_of_one_form() -> None:
    same = found(A=[row("sub-1", group="A1")], B=[row("sub-1", group="B1", exact="other")])
    assert [text for _, text in same] == [
        "1 participant ids occur at A and B, such as sub-1; if they are the same people, give them the same group_id"
    ]
    form = found(A=[row("sub-x1", pattern="x#")], B=[row("sub-x2", pattern="x#")])
    assert [text for _, text in form] == [
        "participant ids have the same pattern at A and B, such as sub-x1 and sub-x2; parts of the same cohort?"
    ]
    zeros = found(A=[row("sub-01", id="1"), row("sub-1", id="1")])
    assert [text for _, text in zeros] == [
        "ids that differ only in case or leading zeros: A sub-01, sub-1; the same person?"
    ]


def test_keys_that_differ_are_no_comparison() -> None:
    answers = {"A": prints("one"), "B": prints("two")}
    with pytest.raises(InputError, match="expected the same fingerprint_key, found 2 different ones"):
        find_leaks(answers)
    [finding] = find_leaks({"A": prints(None), "B": prints("two")})
    assert (finding.level, finding.text) == (
        "warning",
        "A not audited for leaks: no fingerprint_key",
    )
    [withheld] = find_leaks({"A": ScanFingerprints(why=SMALL_SPLIT), "B": prints("two")})
    assert withheld.text.startswith("A not audited for leaks: its fingerprints stay there, as a split has fewer people")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.write_text(text)
    path.chmod(0o600)


def test_a_key_file_is_read_whole_or_refused(tmp_path: Path) -> None:
    drawn = "5d1c8e0b7f4a92636c21e8d9075ab3f4186e2c9b40d7af5388e1f06a2b9dc754"
    write_private(tmp_path / "key", drawn + "\n")
    assert read_key("A", tmp_path / "key") == drawn.encode()
    for weak in ("abc", "a" * 64, "correct horse battery", "0123456789abcdef"):
        write_private(tmp_path / "weak", weak)
        with pytest.raises(InputError, match="expected 128 random bits, found about"):
            read_key("A", tmp_path / "weak")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(InputError, match="others on this machine can read it; chmod 600"):
        read_key("A", tmp_path / "key")
    with pytest.raises(InputError, match=r"fingerprint_key .*nowhere: cannot be read"):
        read_key("A", tmp_path / "nowhere")


def person(number: int, label: int, age: float | None, sex: str | None = "F") -> ScanRecord:
    name = f"sub-{number:02d}"
    return ScanRecord("A", name, "", Path(name), label, name, False, age, sex, "AD" if label else "CN")


def test_numbers_of_few_people_do_not_leave_nor_what_they_follow_from() -> None:
    records = [person(number, 0, 70 + number % 3, "F" if number % 2 else "M") for number in range(24)]
    splits = {(one.participant_id, ""): "train" for one in records}
    for number, split in ((0, "test"), (1, "test"), (2, "test"), *((n, "validation") for n in range(3, 10))):
        splits[records[number].participant_id, ""] = split
    description = describe(records, splits)
    negative = {split: people.of(0) for split, people in description.splits.items()}
    assert negative["test"] == PeopleOfClass(None, None, None)  # 3 people
    assert negative["validation"].people is None  # 7, but the sum of all would tell the 3
    assert negative["train"].people == 14
    assert negative["all"] == PeopleOfClass(24, 12, (71.0, 0.8))
    assert description.splits["all"].of(1).people == 0
    assert description.age_auc.undefined == "the age of fewer than 5 people of a class is known"


@pytest.mark.parametrize(("policy", "fewest"), [({}, 1), ({"min_people": 2}, 5), ({"min_people": 7}, 7)])
def test_the_sites_of_one_process_hold_nothing_back(policy: dict[str, int], fewest: int) -> None:
    assert Policy.model_validate(policy).min_described == fewest


def test_a_profile_is_the_kernel_density() -> None:
    rng = np.random.default_rng(1)
    brains = [rng.normal(0, 1, 40_000).astype(np.float32), rng.normal(1, 0.5, 20_000).astype(np.float32)]
    low, high = shared_grid([intensity_range(brains)])
    density = np.array(intensity_profile(brains, low, high))
    assert len(density) == 256
    assert density.sum() * (high - low) / 256 == pytest.approx(1, abs=1e-3)
    points, sigma = grid_points(low, high), 0.01 * (high - low)

    def normal(mean: float, sd: float) -> np.ndarray:
        total = np.hypot(sd, sigma)
        return np.exp(-0.5 * ((points - mean) / total) ** 2) / (total * np.sqrt(2 * np.pi))

    np.testing.assert_allclose(density, (2 * normal(0, 1) + normal(1, 0.5)) / 3, atol=0.015)


def test_the_distance_is_scipys() -> None:
    rng = np.random.default_rng(2)
    first, second = (intensity_profile([rng.normal(mean, 1, 50_000)], -6, 6) for mean in (0.0, 0.4))
    points = grid_points(-6, 6)
    assert wasserstein(first, second, -6, 6) == pytest.approx(
        wasserstein_distance(points, points, first, second), rel=1e-3
    )
    assert wasserstein(first, second, -6, 6) == pytest.approx(0.4, abs=0.02)
