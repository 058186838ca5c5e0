"""Organizations and the people in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.chassis.access import OrgId


@dataclass(frozen=True, slots=True)
class Organization:
    org_id: OrgId
    name: str
    plan: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    org_id: OrgId
    id: str
    email: str
    name: str
    role: str
    """`owner`, `admin` or `member`."""
    created_at: datetime
