from pathlib import Path

from fedtune3d._utils.folders.site import memory_version, memory_versions


def test_versions_of_a_memory_are_found_by_number(tmp_path: Path) -> None:
    for version in (2, 10):
        memory_version(tmp_path, version).touch()
    (tmp_path / "other.safetensors").touch()
    assert memory_versions(tmp_path) == {2: memory_version(tmp_path, 2), 10: memory_version(tmp_path, 10)}
