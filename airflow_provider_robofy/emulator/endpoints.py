"""Which function answers which endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from airflow_provider_robofy.emulator import account, listings, teaching
from airflow_provider_robofy.emulator.answers import Answer
from airflow_provider_robofy.emulator.ask import Ask
from airflow_provider_robofy.emulator.world import World

Handler = Callable[[World, Ask], Awaitable[Answer]]

HANDLERS: dict[str, Handler] = {
    handler.__name__: handler
    for handler in (
        listings.list_leads, listings.list_sessions, listings.list_session_messages, listings.list_agents,
        listings.list_linked_assets, listings.list_projects,
        account.create_agent, account.retrieve_agent, account.update_agent, account.delete_agent,
        account.retrieve_agent_settings, account.message_stats, account.retrieve_project,
        account.account_details, account.account_limit,
        teaching.add_text_content, teaching.add_file, teaching.delink_asset, teaching.add_website,
        teaching.get_crawl_status, teaching.send_message,
    )
}  # fmt: skip
