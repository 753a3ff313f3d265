"""Sets of people: keyed, and too close where a subtraction would leave a few."""

from dataclasses import replace
from pathlib import Path

import pytest
from scan_records import make_record

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d.federation.privacy.people import hash_person, people_sets, site_key, too_close, without_people

KEY = b"k" * 32


def named(*people: str) -> dict[str, tuple[str, ...]]:
    return {"everyone": tuple(people)}


def test_a_key_of_the_site_s_own_is_made_once(tmp_path: Path) -> None:
    key = site_key(tmp_path / "people.key", [])
    assert len(key) == 32
    assert site_key(tmp_path / "people.key", []) == key
    assert (tmp_path / "people.key").stat().st_mode & 0o077 == 0
    assert hash_person(key, "sub-01") != hash_person(KEY, "sub-01")


def test_no_other_key_takes_the_place_of_one_that_names_people(tmp_path: Path) -> None:
    """Otherwise who has withdrawn is back, and who has spent a budget begins another."""
    path, ledger = tmp_path / "people.key", tmp_path / "approvals.jsonl"
    site_key(path, [ledger])
    whole = path.read_bytes()
    for number in range(len(whole)):
        path.write_bytes(whole[:number] + bytes([whole[number] ^ 1]) + whole[number + 1 :])
        with pytest.raises(DamagedFileError, match="does not match its checksum"):
            site_key(path, [ledger])
    for damaged in (b"", whole[:-1], whole + b"\n"):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError):
            site_key(path, [ledger])
    path.unlink()
    ledger.touch()
    with pytest.raises(InputError, match=r"people\.key: missing, but approvals\.jsonl names people by hashes"):
        site_key(path, [tmp_path / "privacy.jsonl", ledger])
    assert not path.exists()


def test_the_sets_of_an_experiment() -> None:
    records = [replace(make_record(Path(f"sub-{number}")), label=int(number > 1)) for number in (1, 2, 3)]
    sets = people_sets(records, {"sub-1": "train", "sub-2": "test"}, KEY)
    one, two, three = (hash_person(KEY, f"sub-{number}") for number in (1, 2, 3))
    assert sets == {
        "everyone": tuple(sorted((one, two, three))),
        "negative": (one,),
        "positive": tuple(sorted((two, three))),
        "train": (one,),
        "train negative": (one,),
        "test": (two,),
        "test positive": (two,),
    }
    assert without_people(sets, [two])["positive"] == (three,)


@pytest.mark.parametrize(
    ("here", "before", "close"),
    [
        ("abcdef", "abcdef", False),  # the same people: nothing is new
        ("abcdef", "abcdefg", True),
        ("abcdefgh", "abcd", False),  # four differ
        ("abcdef", "abcdeg", True),
        ("abc", "abcd", True),
        ("ab", "abc", False),  # fewer than three people have no numbers
    ],
)
def test_sets_are_too_close_from_one_to_below_the_minimum(here: str, before: str, close: bool) -> None:
    assert too_close(named(*here), named(*before), 3) is close


def test_a_class_is_compared_with_every_set_that_was_released() -> None:
    released = {"everyone": tuple("abcdefghij"), "negative": tuple("abcde"), "positive": tuple("fghij")}
    flipped = {"everyone": tuple("abcdefghij"), "negative": tuple("efghij"), "positive": tuple("abcd")}
    assert too_close(flipped, released, 3)
    assert not too_close({"everyone": tuple("mnopq")}, released, 3)


def test_a_new_set_is_compared_with_sets_of_the_same_people_too() -> None:
    """The same people split anew: all but one of them, less everyone, of whom numbers were released, is that one."""
    everyone = {"everyone": tuple("abcdefghij")}
    assert too_close({**everyone, "train": tuple("abcdefghi")}, everyone, 3)
    assert not too_close({**everyone, "train": tuple("abcdefg")}, everyone, 3)
