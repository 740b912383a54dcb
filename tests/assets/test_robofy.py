"""Robofy's assets: one form for each place, and nonsense refused, as Airflow's own constructor sees it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_robofy.assets.robofy import leads_asset, sanitize_uri, sessions_asset


def test_an_agents_leads_and_sessions_are_two_assets():
    assert leads_asset(24017, "UOmf").uri == "robofy://agents.robofy.ai/24017/UOmf/leads"
    assert sessions_asset("24017", "UOmf").uri == "robofy://agents.robofy.ai/24017/UOmf/sessions"


def test_an_agent_id_with_slashes_stays_one_part():
    assert leads_asset(1, "a/b+c=").uri == "robofy://agents.robofy.ai/1/a%2Fb%2Bc%3D/leads"


@pytest.mark.parametrize(
    "uri",
    [
        "robofy://AGENTS.robofy.ai/24017/UOmf/leads",
        "robofy://agents.robofy.ai/24017/UOmf/leads/",
        "robofy://agents.robofy.ai/24017/UOm%66/leads",
        "ROBOFY://agents.robofy.ai/24017/UOmf/leads",
    ],
)
def test_airflow_knows_one_place_under_one_name(uri):
    assert Asset(uri=uri).uri == leads_asset(24017, "UOmf").uri


@pytest.mark.parametrize(
    "uri",
    [
        "robofy://agents.robofy.ai",
        "robofy://agents.robofy.ai/24017/leads",
        "robofy://agents.robofy.ai/24017/UOmf/cakes",
        "robofy://agents.robofy.ai/24017//leads",
        "robofy://agents.robofy.ai/24017/UOmf/leads/more",
        "robofy://agents.robofy.ai/24017/UOmf/leads?page=1",
        "robofy:///24017/UOmf/leads",
    ],
)
def test_nonsense_is_refused(uri):
    with pytest.raises(ValueError, match="robofy://host/project/agent/leads"):
        sanitize_uri(urlsplit(uri))


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2.11 warns and keeps what it cannot read")
def test_a_dag_file_with_nonsense_fails_to_import():
    with pytest.raises(ValueError, match="robofy://host/project/agent/leads"):
        Asset(uri="robofy://agents.robofy.ai/24017/UOmf/cakes")
