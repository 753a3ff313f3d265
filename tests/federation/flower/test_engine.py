"""Keeping a proxy out of this machine."""

import os

import pytest

pytest.importorskip("flwr")

from fedtune3d.federation.flower.engine import keep_proxies_out_of_this_machine


@pytest.mark.parametrize("known", ["", "hospital.example.org"])
def test_loopback_never_goes_by_a_proxy(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", known)
    keep_proxies_out_of_this_machine()
    assert os.environ["no_proxy"].split(",") == [*filter(None, [known]), "127.0.0.1"]
