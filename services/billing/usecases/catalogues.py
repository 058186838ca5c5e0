"""Catalogues: the one this process was given, and every earlier one that a settlement may still name."""

from __future__ import annotations

import structlog

from services.billing.domain.catalogue import Catalogue, Pricing
from services.billing.domain.errors import UnknownCatalogue
from services.billing.store import catalogues as store
from services.chassis.clock import Clock
from services.chassis.database import Database

log = structlog.get_logger()


class CatalogueChanged(Exception):
    """The file says something else than before under the same version: yesterday's bill could not be computed again."""


class Catalogues:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._known: dict[str, Pricing] = {}

    async def register(self, document: bytes) -> None:
        """Keep the catalogue for ever and offer its plans. Raises ValueError for a wrong document, CatalogueChanged."""
        catalogue = Catalogue.parse(document)
        async with self._db.system_transaction() as tx:
            await store.add(tx, catalogue.version, document, self._clock.now())
            kept = await store.find(tx, catalogue.version)
            if kept is None or Catalogue.parse(kept) != catalogue:
                log.error("the catalogue has changed under its version: give it a new one", revision=catalogue.version)
                raise CatalogueChanged(f"catalogue {catalogue.version} has changed: give it a new version")
            await store.set_plans(tx, catalogue.version, catalogue.plans)
        self._known[catalogue.version] = Pricing(catalogue)

    async def pricing(self, version: str, model: str) -> Pricing:
        """The prices of a version that knows the model. Raises UnknownCatalogue."""
        pricing = self._known.get(version)
        if pricing is None:
            async with self._db.system_transaction() as tx:
                document = await store.find(tx, version)
            if document is None:
                raise UnknownCatalogue
            pricing = self._known[version] = Pricing(Catalogue.parse(document))
        if not pricing.knows(model):
            raise UnknownCatalogue
        return pricing
