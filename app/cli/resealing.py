"""Sealing anew what a database holds sealed."""

from app.cli.database import opened_database
from app.settings import Settings
from app.store.sealing import reseal_replies, reseal_secrets
from app.vault import Vault


async def reseal_database(settings: Settings) -> dict[str, int]:
    """How many rows were sealed anew."""
    async with opened_database(settings.database_url) as engine:
        vault = Vault.from_settings(settings)
        return {
            "secrets": await reseal_secrets(engine, vault),
            "replies": await reseal_replies(engine, vault),
        }
