import pytest

from fedtune3d._utils.folders.export import scan_stem


@pytest.mark.parametrize(("scan", "stem"), [("sub-1/ses-2", "sub-1_ses-2"), ("x.nii.gz", "x"), ("x.nii", "x")])
def test_a_scan_as_part_of_a_file_name(scan: str, stem: str) -> None:
    assert scan_stem(scan) == stem
