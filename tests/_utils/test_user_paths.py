from pathlib import Path

import pytest

from fedtune3d._utils.user_paths import expand_path


def test_home_and_variables_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", "sites/one")
    assert expand_path("~/A") == f"{tmp_path}/A"
    assert expand_path("$DATA/A") == expand_path("${DATA}/A") == "sites/one/A"
    assert expand_path("/data/cost$/A") == "/data/cost$/A"
    assert expand_path(3) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$NOT_THERE_AT_ALL/A", "the environment variable NOT_THERE_AT_ALL in .* is not set"),
        ("${NOT_THERE_AT_ALL}/A", "NOT_THERE_AT_ALL"),
        ("~nobody-of-this-name/A", "but there is no such user; write the full path"),
        ("A\0", "zero byte"),
    ],
)
def test_what_leads_nowhere_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand_path(text)
