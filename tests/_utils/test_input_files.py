"""What is there in place of a file, found before it is opened."""

import os
import socket
from pathlib import Path

from fedtune3d._utils.input_files import obstacle, read_input_text


def test_a_file_and_nothing_at_all_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x1f\x8b")
    assert obstacle(tmp_path / "file") is None
    assert obstacle(tmp_path / "nothing") is None


def test_folders_pipes_and_sockets_are_named_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert obstacle(tmp_path) == "found a folder"
    assert obstacle(tmp_path / "pipe") == "found a named pipe"
    assert obstacle(Path("/dev/null")) == "found a device"
    with socket.socket(socket.AF_UNIX) as opened:
        here = os.getcwd()
        os.chdir(tmp_path)  # the path of a socket must be short
        try:
            opened.bind("socket")
        finally:
            os.chdir(here)
        assert obstacle(tmp_path / "socket") == "found a socket"


def test_links_and_pointers_name_the_program_that_fetches_the_content(tmp_path: Path) -> None:
    (tmp_path / "annexed.nii.gz").symlink_to(".git/annex/objects/ab/cd")
    (tmp_path / "broken").symlink_to("elsewhere")
    (tmp_path / "pointer").write_text("/annex/objects/MD5E-s1--ab.nii.gz\n")
    (tmp_path / "lfs").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\n")
    assert "`datalad get annexed.nii.gz`" in str(obstacle(tmp_path / "annexed.nii.gz"))
    assert obstacle(tmp_path / "broken") == "found a link to elsewhere, which does not exist; restore its target"
    assert "`datalad get pointer`" in str(obstacle(tmp_path / "pointer"))
    assert "`git lfs pull`" in str(obstacle(tmp_path / "lfs"))


def test_text_is_utf_8_with_or_without_a_mark_or_else_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    for content, is_latin1 in ((b"M\xc3\xbcller", False), (b"\xef\xbb\xbfM\xc3\xbcller", False), (b"M\xfcller", True)):
        path.write_bytes(content)
        read = read_input_text(path)
        assert (read.text, read.is_latin1) == ("Müller", is_latin1)
