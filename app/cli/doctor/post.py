"""What came from sources, and how endpoints fare."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.doctor.findings import Finding, ok, warning, wrong
from app.clock import Clock
from app.settings import Settings
from app.store.condition import last_heard, registered
from app.store.endpoints import PAUSED
from app.store.health import Health
from app.store.rollups import SOURCE
from app.store.sources import NONE
from app.store.stats import Counts, counts_by_subject
from app.vault import KEY_FILE, Vault, VaultError

DAY_MS = 86_400_000
SILENT_MS = 2 * DAY_MS


async def look_at_post(engine: AsyncEngine, settings: Settings, clock: Clock) -> list[Finding]:
    """Every source and every endpoint."""
    roster, health = await registered(engine)
    now = clock.ms()
    counts = dict[int, Counts]()
    for environment in roster.environments:
        counts |= await counts_by_subject(engine, environment.id, SOURCE, now - DAY_MS, now + 1)
    heard = await last_heard(engine)
    found = [*_secrets(settings, [*roster.sources, *roster.endpoints])]
    found += [
        _source(source, counts.get(source.id, {}), heard.get(source.id), now, settings.base_url)
        for source in roster.sources
    ]
    found += [_endpoint(endpoint, health.get(endpoint.id)) for endpoint in roster.endpoints]
    if not roster.sources:
        found.append(warning("sources", "There is no source yet, so nobody can post.", "mailweir sources add --help"))
    if not roster.endpoints:
        found.append(warning("endpoints", "Nobody subscribes yet.", "mailweir endpoints add --help"))
    return found


def _secrets(settings: Settings, rows: list[Any]) -> Iterator[Finding]:
    """Whether what is sealed can be opened."""
    if not rows:
        return
    path = settings.data_dir / KEY_FILE
    if not settings.secret_key.strip() and not path.exists():
        mend = "bring it back from a backup, or set MAILWEIR_SECRET_KEY to the key that the secrets were sealed with"
        yield wrong("secrets", f"There are stored secrets, and {path}, which opens them, is gone.", mend)
        return
    try:
        vault = Vault.from_settings(settings)
        for row in rows:
            vault.open(row.secrets_sealed)
    except VaultError as error:
        yield wrong("secrets", f"{error}.", "MAILWEIR_SECRET_KEY; several keys, separated by commas, are tried in turn")
    else:
        yield ok("secrets", "Every stored secret can be opened.")


def _source(source: Any, counts: Counts, heard: int | None, now: int, base_url: str) -> Finding:
    check, url = f"source {source.name}", f"{base_url}/api/webhooks/{source.name}"
    rejected = counts.get("receipt.rejected", 0)
    came = sum(count for measure, count in counts.items() if measure.startswith("receipt.")) - rejected
    if heard is None:
        return warning(check, "Nothing has ever come from it.", f"let {source.provider} post to {url}")
    if rejected and not came:
        says = f"All {rejected} requests of the last day did not verify: its secret is not the provider's."
        return wrong(check, says, f"copy the secret anew; mailweir receipts list --source {source.name} says why")
    if rejected:
        says = f"{rejected} of {came + rejected} requests of the last day did not verify: forged, or one old secret."
        return warning(check, says, f"mailweir receipts list --source {source.name} --status rejected")
    if heard < now - SILENT_MS:
        says = f"Nothing has come from it for {(now - heard) // DAY_MS} days."
        return warning(check, says, f"look whether {source.provider} still posts to {url}; or remove it")
    if quarantined := counts.get("receipt.quarantined", 0):
        says = f"{quarantined} requests of the last day could not be read in full."
        return warning(check, says, f"mailweir sources drift {source.name}, then mailweir receipts reprocess")
    if source.verification == NONE:
        says = "It takes requests from anybody: nothing is verified."
        return warning(check, says, "add it anew with its secret, unless that is meant")
    return ok(check, f"{came} requests in the last day, all of them verified.")


def _endpoint(endpoint: Any, health: Health | None) -> Finding:
    check, again = f"endpoint {endpoint.id}", f"mailweir endpoints enable {endpoint.id}"
    if not endpoint.active and endpoint.disabled_reason != PAUSED:
        says = f"It was disabled, and its deliveries are held: {endpoint.disabled_reason}."
        return wrong(check, says, f"mend {endpoint.url}, then {again}")
    if not endpoint.active:
        return ok(check, f"It is paused, and its deliveries are held; {again} goes on.")
    if health is not None and health.failing:
        says = f"It keeps failing, {health.failures} attempts in a row: {health.reason}."
        return warning(check, says, f"mend {endpoint.url}; afterwards mailweir recover {endpoint.id} --since …")
    if health is not None and health.failures:
        return ok(check, f"Its last attempt failed ({health.reason}), and will be made again.")
    return ok(check, "It takes what it is sent.")
