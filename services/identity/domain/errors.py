"""What identity refuses, beyond the chassis' own refusals."""

from __future__ import annotations

from collections.abc import Collection

from services.chassis.errors import ServiceError


class ScopeEscalation(ServiceError):
    reason = "SCOPE_ESCALATION"

    def __init__(self, scopes: Collection[str]) -> None:
        super().__init__(
            "A key cannot create a key with a scope that it does not hold.", details={"missing_scopes": sorted(scopes)}
        )
