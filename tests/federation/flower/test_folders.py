"""The server's folder and a site's: what is made, and one line for each mistake."""

import base64
import ssl
import subprocess
from pathlib import Path

import pytest
import yaml

pytest.importorskip("flwr")

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.flower.reachability import clock_problem
from fedtune3d.federation.flower.server_folder import ServerFolder
from fedtune3d.federation.flower.site_check import check_site
from fedtune3d.federation.flower.site_folder import SiteSettings

ADDRESS = "fl.example.org:9092"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ServerFolder:
    """A server's folder with sites A and B."""
    return ServerFolder.make(tmp_path_factory.mktemp("made") / "server", ADDRESS, ("A", "B"))


def test_private_keys_are_for_their_owner_only(made: ServerFolder) -> None:
    keys = [made.paths.key, made.paths.authority_key, *(made.paths.site(name).key for name in "AB")]
    assert [path.stat().st_mode & 0o077 for path in keys] == [0] * 4
    assert made.paths.public_key("A").read_bytes() == (made.paths.site("A").public_key).read_bytes()
    assert made.paths.public_key("A").read_bytes() != made.paths.public_key("B").read_bytes()


def test_the_certificate_is_for_the_host_and_this_machine(made: ServerFolder) -> None:
    shown = subprocess.run(
        ["openssl", "x509", "-in", made.paths.certificate, "-noout", "-ext", "subjectAltName"],
        capture_output=True,
        text=True,
    ).stdout
    assert {"DNS:fl.example.org", "DNS:localhost", "IP Address:127.0.0.1"} <= {
        part.strip() for part in shown.splitlines()[1].split(",")
    }
    checked = ["openssl", "verify", "-x509_strict", "-CAfile", made.paths.authority, made.paths.certificate]
    assert subprocess.run(checked, capture_output=True).returncode == 0
    ssl.create_default_context(cafile=str(made.paths.site("A").certificate))


def test_making_it_again_keeps_keys_and_a_deleted_one_is_made_anew(made: ServerFolder) -> None:
    a, b, certificate = (
        made.paths.public_key("A").read_bytes(),
        made.paths.public_key("B").read_bytes(),
        made.paths.certificate.read_bytes(),
    )
    made.paths.public_key("B").unlink()
    ServerFolder.make(made.path, ADDRESS, ("A", "B"))
    assert (made.paths.public_key("A").read_bytes(), made.paths.certificate.read_bytes()) == (a, certificate)
    assert made.paths.public_key("B").read_bytes() != b
    with pytest.raises(InputError, match=r"was made for fl.example.org:9092; choose another folder"):
        ServerFolder.make(made.path, "other:1", ("A",))


def test_the_site_yaml_that_the_server_makes_is_valid_and_forbids_predictions(made: ServerFolder) -> None:
    settings = SiteSettings.read(made.paths.site("A").path)
    assert (settings.name, settings.server) == ("A", ADDRESS)
    assert not settings.policy.predictions_leave
    assert not settings.policy.groups_leave
    assert settings.work == made.paths.site("A").path / "work"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"polcy": {}}, "polcy: unknown key, did you mean 'policy'?"),
        ({"server": "fl.example.org"}, "server: "),
        ({"policy": {"hours": "25:00-26:00"}}, "policy.hours"),
        ({"policy": {"heads": ["conv_x"]}}, "conv_x"),
        ({"policy": {"pictures_leave": True}}, "policy.pictures_leave"),
        ({"data": None}, "data"),
    ],
)
def test_a_mistake_in_site_yaml_is_named(tmp_path: Path, change: dict, why: str) -> None:
    values = {"name": "A", "server": ADDRESS, "data": "bids"} | change
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as raised:
        SiteSettings.read(tmp_path)
    assert why in str(raised.value)
    assert str(tmp_path / "site.yaml") in str(raised.value)
    assert [finding.good for finding in check_site(tmp_path)] == [False]


def test_check_names_all_that_is_wrong(tmp_path: Path, made: ServerFolder) -> None:
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"name": "A", "server": "localhost:1", "data": "nowhere"}))
    (tmp_path / "ca.crt").write_bytes(made.paths.authority.read_bytes())
    (tmp_path / "site.key").write_bytes((made.paths.site("A").key).read_bytes())
    (tmp_path / "site.key").chmod(0o644)
    findings = list(check_site(tmp_path))
    said = " ".join(finding.text for finding in findings)
    assert "no experiment with a class of under 5 people here" in said
    assert f"approved experiments: none yet; run `fedtune3d site approve {tmp_path} experiment.yaml`" in said
    bad = [finding.text for finding in findings if not finding.good]
    assert [text.split(": ", 1)[1].split(";")[0].split(" (")[0] for text in bad] == [
        "others on this machine can read the key",
        "no such folder or table",
        "no answer",
    ]


@pytest.mark.parametrize("algorithm", [b"ecdsa-sha2-nistp384", b"ecdsa-sha2\rnistp384"])
def test_a_damaged_key_is_named(tmp_path: Path, made: ServerFolder, algorithm: bytes) -> None:
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"name": "A", "server": "localhost:1", "data": "nowhere"}))
    begin, *lines, end = made.paths.site("A").key.read_bytes().splitlines()
    content = base64.b64decode(b"".join(lines)).replace(b"ecdsa-sha2-nistp384", algorithm)
    damaged = content if algorithm != b"ecdsa-sha2-nistp384" else content[: len(content) // 2]
    (tmp_path / "site.key").write_bytes(b"\n".join((begin, base64.encodebytes(damaged).strip(), end, b"")))
    bad = [finding.text for finding in check_site(tmp_path) if not finding.good]
    assert f"{tmp_path / 'site.key'}: expected the site's private key" in bad[0]


@pytest.mark.parametrize(("ahead", "problem"), [(-299, None), (-301, "301 s behind"), (4, None), (7, "7 s ahead of")])
def test_flower_refuses_clocks_far_behind_or_a_little_ahead(ahead: float, problem: str | None) -> None:
    found = clock_problem(ahead)
    assert found is None if problem is None else problem in (found or "")
