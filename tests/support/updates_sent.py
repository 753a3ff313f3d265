"""How far a run has come, seen from outside by what left a site."""

from fedtune3d._utils.folders import RunFolder


def updates_sent(run: RunFolder, site: str) -> int:
    """How often a site has answered with an update so far."""
    manifest = run.site(site).egress
    return manifest.read_text().count('"kind": "train"') if manifest.exists() else 0
