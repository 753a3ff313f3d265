"""What left a site, read from its folder or from its part of a run on one machine."""

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d.federation.privacy.egress_log import EgressManifest
from fedtune3d.workflows.site_log import read_log


def test_a_run_on_one_machine_has_a_log_for_each_site(small_run: RunFolder) -> None:
    folder = small_run.site("A")
    entries = read_log(folder.path)
    assert entries == sorted(EgressManifest(folder.egress).entries(), key=lambda entry: entry.time)
    assert {"train", "evaluate"} <= {entry.kind for entry in entries}


def test_a_run_folder_is_refused_with_its_sites(small_run: RunFolder) -> None:
    sites = f"{small_run.site('A').path}, {small_run.site('B').path}"
    with pytest.raises(InputError, match="a run folder of several sites") as caught:
        read_log(small_run.path)
    assert str(caught.value).endswith(f"name one of them: {sites}")
    with pytest.raises(InputError, match=r"site\.yaml: no such file"):
        read_log(small_run.path / "checkpoints")
