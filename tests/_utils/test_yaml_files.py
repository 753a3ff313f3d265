from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.yaml_files import read_yaml


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return read_yaml(path, if_missing="write one")


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("seed: 1\nname: a\nseed: 2\n", "seed", "1 and 3"),
        ("sites:\n  - name: A\n    root: a\n    'root': b\n", "root", "3 and 4"),
        ("training: {rounds: 1, rounds: 2}\n", "rounds", "1 and 1"),
        ("1: a\n1: b\n", "1", "1 and 2"),
    ],
)
def test_a_duplicate_key_is_refused_with_file_key_and_lines(tmp_path: Path, text: str, key: str, lines: str) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, text)
    assert str(refused.value) == f"{tmp_path / 'x.yaml'}: key '{key}' appears twice, on lines {lines}; keep one of them"


def test_the_same_key_in_two_sections_and_an_overridden_merge_are_no_duplicates(tmp_path: Path) -> None:
    text = "base: &base {rank: 4, alpha: 8}\nown: &own\n  <<: *base\n  rank: 2\nmore: {<<: *own, alpha: 1}\n"
    values = read(tmp_path, text)
    assert values["own"] == {"rank": 2, "alpha": 8}
    assert values["more"] == {"rank": 2, "alpha": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not YAML at line 1, column 5"),
        (
            f"a: 1\nseed: {'9' * 5000}\n",
            "not YAML at line 2, column 7: expected a whole number of at most 4,300 digits, found 5,000",
        ),
        ("a: " + "[" * 100_000, "its values are nested too deeply"),
        ("a: !!int x\n", "not YAML at line 1, column 4: expected a whole number of digits, found 'x'"),
        ("- a", "expected keys and values at the top level, got list"),
        ("", "expected keys and values at the top level, got NoneType"),
        ("day: 2020-13-45", "not YAML: month must be in 1..12"),
        ("a: \x07", "not YAML: unacceptable character"),
        ("a: !!python/object:os.system {}", "not YAML at line 1, column 4: could not determine a constructor"),
    ],
)
def test_other_damage_is_one_line_that_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path / 'x.yaml'}: {message}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sites:\n  - name: A\n    root: a\n   labels: 1\n",
            "not YAML at line 4, column 4: expected <block end>, but found '<block mapping start>'; check the "
            "indentation here and in the lines above",
        ),
        ("a: 1\n b: 2\n", "not YAML at line 2, column 3: mapping values are not allowed here; check the indentation"),
        ("a: [1, 2\nb: 3\n", "; check that every bracket and quote here and in the lines above is closed"),
        ("a: 'b\n", "; check that every bracket and quote here and in the lines above is closed"),
    ],
)
def test_a_wrong_structure_comes_with_what_to_look_for(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read(tmp_path, text)
    assert message in str(refused.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file; write one$"):
        read_yaml(tmp_path / "none.yaml", if_missing="write one")


def test_aliases_that_stand_for_billions_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(InputError, match="its aliases stand for more than 1,000,000 values"):
        read_yaml(tmp_path / "bomb.yaml", if_missing="")


def test_a_list_within_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").write_text("a: &a [1, *a]\n")
    with pytest.raises(InputError, match="its aliases stand for more than"):
        read_yaml(tmp_path / "loop.yaml", if_missing="")


def test_a_few_aliases_stay(tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n")
    assert read_yaml(tmp_path / "plain.yaml", if_missing="") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}
