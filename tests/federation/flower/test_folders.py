"""The server's folder and a site's: what is made, and one line for each mistake."""

import base64
import random
import shutil
import ssl
import subprocess
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
import yaml

pytest.importorskip("flwr")

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.flower.certificates import require_certificates
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
    assert "an experiment needs at least 5 people of each class here" in said
    assert f"approved experiments: none yet; run `fedtune3d site approve {tmp_path} experiment.yaml`" in said
    bad = [finding.text for finding in findings if not finding.good]
    assert [text.split(": ", 1)[1].split(";")[0].split(" (")[0] for text in bad] == [
        "others on this machine can read the key",
        "no such folder or table",
        "no answer",
    ]


def test_a_table_without_diagnosis_is_shown_with_its_columns(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "participants.tsv").write_text("participant_id\tdx\tage\nsub-0\tAD\t71\n")
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"name": "A", "server": "localhost:1", "data": "data"}))
    (line,) = (found for found in check_site(tmp_path) if found.text.startswith("data: "))
    assert line.good
    assert line.text.endswith("labels must name another of age, dx, participant_id")


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


@pytest.mark.parametrize(
    ("damaged", "line"),
    [
        ("ca.crt", "put back an intact copy"),
        ("server.crt", "make a new one with `fedtune3d server renew`"),
        ("server.key", "make a new one with `fedtune3d server renew`"),
    ],
)
def test_no_damaged_certificate_or_key_is_used(made: ServerFolder, tmp_path: Path, damaged: str, line: str) -> None:
    shutil.copytree(made.path, tmp_path / "server")
    folder = ServerFolder(tmp_path / "server")
    path = folder.path / damaged
    whole = path.read_bytes()
    lines = whole.splitlines()
    content = base64.b64decode(b"".join(lines[1:-1]))
    draw = random.Random(damaged)
    for _ in range(100):
        flipped = bytearray(content)
        flipped[draw.randrange(len(flipped))] ^= 1 << draw.randrange(8)
        path.write_bytes(b"\n".join([lines[0], base64.encodebytes(bytes(flipped)).strip(), lines[-1], b""]))
        with pytest.raises(InputError) as caught:
            require_certificates(folder.paths)
        assert str(caught.value).startswith(str(folder.path))
        assert "\n" not in str(caught.value)
        assert line in str(caught.value) or "clock" in str(caught.value)
    for content in (b"", whole[:200], b"<html>", made.paths.public_key("A").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(InputError, match=damaged):
            ServerFolder.make(folder.path, ADDRESS, ("A",))


def test_a_certificate_of_another_authority_is_refused(made: ServerFolder, tmp_path: Path) -> None:
    other = ServerFolder.make(tmp_path / "other", ADDRESS, ("A",))
    shutil.copyfile(made.paths.authority, other.paths.authority)
    with pytest.raises(InputError, match=r"server.crt: was changed, or not signed by this federation's authority"):
        require_certificates(other.paths)


def test_certificates_are_valid_for_their_days_only(made: ServerFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    require_certificates(made.paths)

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=1000)

    monkeypatch.setattr("fedtune3d.federation.flower.certificates.datetime", Later)
    with pytest.raises(InputError, match=r"server.crt: valid from .* only; check this machine's clock"):
        require_certificates(made.paths)
