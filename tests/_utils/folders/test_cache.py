from pathlib import Path

from fedtune3d._utils.folders.cache import CacheFolder, PreparedPaths


def test_the_cache_lists_its_sites(tmp_path: Path) -> None:
    cache = CacheFolder(tmp_path)
    for site in ("B", "A"):
        cache.site(site).prepared.mkdir(parents=True)
    (tmp_path / "a file").touch()
    assert list(cache.sites()) == ["A", "B"]


def test_a_prepared_scan_is_three_files() -> None:
    assert [path.name for path in PreparedPaths(Path("ab.npy")).all] == ["ab.npy", "ab.npz", "ab.json"]
