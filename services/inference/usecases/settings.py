"""Settings of an organization, and the memory every request reads them from."""

from collections.abc import Mapping
from typing import Any, cast

from services.chassis.access import OrgId, Principal
from services.chassis.audit import Trail
from services.chassis.clock import Clock
from services.chassis.database import Database
from services.chassis.outbox import Relay
from services.chassis.sealing import Sealer
from services.chassis.watch import ChangeLog
from services.chassis.watching import Loaded, Remembered, Watch
from services.inference.domain.settings import Settings
from services.inference.store import settings as store
from services.inference.store.settings import StoredSettings


class SettingsOfOrganizations:
    """`watch` follows this service's own change log: a change has reached every replica when its call returns."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        sealer: Sealer,
        trail: Trail,
        changes: ChangeLog,
        watch: Watch,
        relay: Relay,
    ) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer
        self._trail = trail
        self._changes = changes
        self._relay = relay
        self._known: Remembered[OrgId, Settings] = Remembered(watch, self._load, clock=clock)

    async def of(self, org_id: OrgId) -> Settings:
        """Fresh: a change made by any replica counts from the moment its call has returned."""
        return await self._known.get(org_id)

    async def update(self, caller: Principal, patch: Mapping[str, Any]) -> Settings:
        """Raises ValidationFailed naming an unknown or wrong field. An empty patch, or one that changes nothing, leaves no trace."""
        org_id = caller.org_id
        async with self._db.transaction(org_id) as tx:
            before = await self._opened(org_id, await store.lock(tx, org_id))
            after = before.patched(patch)
            changed = after.changed_fields(before)
            if not changed:
                return before
            await store.put(tx, org_id, await self._sealed(org_id, after), self._clock.now())
            await self._trail.record(
                tx,
                org_id=org_id,
                action="settings.updated",
                entity_type="settings",
                entity_id=org_id,
                metadata={"fields": changed}
                | {field: getattr(after, field) for field in changed if field != "default_system"},
            )
            seq = await self._changes.publish(tx, org_id=org_id)
        self._relay.wake()
        await self._changes.await_watchers(seq)
        return after

    async def _load(self, org_id: OrgId) -> Loaded[Settings]:
        stored, seq = await store.find(self._db, org_id)
        return Loaded(value=await self._opened(org_id, stored), seq=seq, org_id=org_id)

    async def _opened(self, org_id: OrgId, stored: StoredSettings | None) -> Settings:
        if stored is None:
            return Settings()
        system = None
        if stored.default_system is not None:
            opened = await self._sealer.open(
                org_id, table="settings", row="default_system", sealed=stored.default_system
            )
            system = opened.decode()
        return Settings(
            phi_mode=cast("Any", stored.phi_mode),
            phi_restore=stored.phi_restore,
            storage_mode=cast("Any", stored.storage_mode),
            image_policy=cast("Any", stored.image_policy),
            default_system=system,
            retention_days=stored.retention_days,
        )

    async def _sealed(self, org_id: OrgId, settings: Settings) -> StoredSettings:
        system = None
        if settings.default_system is not None:
            system = await self._sealer.seal(
                org_id, table="settings", row="default_system", plaintext=settings.default_system.encode()
            )
        return StoredSettings(
            phi_mode=settings.phi_mode,
            phi_restore=settings.phi_restore,
            storage_mode=settings.storage_mode,
            image_policy=settings.image_policy,
            default_system=system,
            retention_days=settings.retention_days,
        )
