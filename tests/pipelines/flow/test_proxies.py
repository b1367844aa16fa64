"""Loopback is reached without a proxy, and the settings for other hosts are kept."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.request import getproxies_environment, proxy_bypass_environment

import pytest

from pipelines.flow.proxies import LOOPBACK, NAMES, bypass_proxy_for_loopback

OTHERS: Mapping[str, Mapping[str, str]] = {
    "nothing": {},
    "upper case": {"NO_PROXY": "corp.example, .intern"},
    "lower case": {"no_proxy": "corp.example,.intern"},
    "both": {"NO_PROXY": "corp.example", "no_proxy": ".intern"},
    "loopback already": {"NO_PROXY": "corp.example,.intern,localhost", "no_proxy": ""},
}


@pytest.fixture(params=OTHERS)
def others(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A proxy, and hosts that are already reached without it."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name, value in OTHERS[request.param].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", OTHERS[request.param].get("NO_PROXY", ""))  # undone after the test
    monkeypatch.setenv("no_proxy", OTHERS[request.param].get("no_proxy", ""))
    return OTHERS[request.param]


def test_loopback_needs_no_proxy_and_other_hosts_are_not_changed(others: Mapping[str, str]) -> None:
    bypass_proxy_for_loopback()
    proxies = getproxies_environment()
    assert all(proxy_bypass_environment(host, proxies) for host in LOOPBACK)
    assert bool(others) == bool(proxy_bypass_environment("corp.example", proxies))
    assert bool(others) == bool(proxy_bypass_environment("host.intern", proxies))
    assert proxies["http"] == "http://127.0.0.1:9" and not proxy_bypass_environment("elsewhere.example", proxies)


def test_a_second_call_changes_nothing(others: Mapping[str, str]) -> None:
    bypass_proxy_for_loopback()
    once = getproxies_environment()
    bypass_proxy_for_loopback()
    assert getproxies_environment() == once and once["no"].split(",").count("localhost") == 1
