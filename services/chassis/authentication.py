"""Whom a token stands for, as the services beside identity know it: remembered under a lease, else asked.

The memory is keyed by a keyed hash of the token with a key of this process' own, so that a dump of it holds no token.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets

import grpc.aio
from hasp.identity.v1 import authentication_service_pb2 as pb
from hasp.identity.v1.authentication_service_pb2_grpc import AuthenticationServiceStub

from services.chassis.access import OrgId, Principal
from services.chassis.clock import Clock, from_unix_ms, unix_ms
from services.chassis.errors import InvalidApiKey
from services.chassis.statuses import reason_of
from services.chassis.watching import Loaded, Remembered, Watch

WELL_FORMED = re.compile(
    r"wa_live_[0-9a-f]{32}|hasp_key_live_[2-9A-HJ-NP-Za-hj-km-np-z]{32}|hasp_agent_(?:test_)?[A-Za-z0-9_-]{43}"
)
"""The token forms of the contract. Anything else is refused before any work."""

_DEADLINE = 2.0
_REPORT_EVERY = 60.0


def principal_of(message: pb.Principal) -> Principal:
    return Principal(
        org_id=OrgId(message.org_id),
        kind="agent" if message.kind == "agent" else "api_key",
        id=message.id,
        user_id=message.user_id,
        scopes=frozenset(message.scopes),
        agent_id=message.agent_id or None,
        delegation_path=tuple(message.delegation_path),
        granted_tool_ids=frozenset(message.granted_tool_ids),
        expires_at=from_unix_ms(message.expires_at_ms) if message.expires_at_ms else None,
        test_mode=message.test_mode,
    )


class RemoteAuthenticator:
    """Authenticates by identity's AuthenticationService, under the lease of identity's watch."""

    def __init__(self, channel: grpc.aio.Channel, watch: Watch, clock: Clock) -> None:
        self._stub = AuthenticationServiceStub(channel)
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: Remembered[bytes, Principal] = Remembered(watch, self._load)
        self._uses: dict[tuple[OrgId, str], int] = {}
        # A token travels from authenticate() to _load() by its digest; it is dropped when the last caller has gone.
        self._loading: dict[bytes, tuple[int, str]] = {}

    async def authenticate(self, token: str) -> Principal:
        if WELL_FORMED.fullmatch(token) is None:
            raise InvalidApiKey
        digest = hmac.digest(self._key, token.encode(), hashlib.sha256)
        principal = self._known.peek(digest)
        if principal is None:
            callers, _ = self._loading.get(digest, (0, token))
            self._loading[digest] = (callers + 1, token)
            try:
                principal = await self._known.get(digest)
            finally:
                callers, _ = self._loading.pop(digest)
                if callers > 1:
                    self._loading[digest] = (callers - 1, token)
        now = self._clock.now()
        if principal.expires_at is not None and principal.expires_at <= now:
            raise InvalidApiKey
        self._uses[principal.org_id, principal.id] = unix_ms(now)
        return principal

    async def _load(self, digest: bytes) -> Loaded[Principal]:
        try:
            # Waits out a restart of identity's, when the channel would still be pausing between two attempts to connect.
            answer = await self._stub.Authenticate(
                pb.AuthenticateRequest(token=self._loading[digest][1]), timeout=_DEADLINE, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as failure:
            if reason_of(failure) == InvalidApiKey.reason:
                raise InvalidApiKey from None
            raise
        principal = principal_of(answer.principal)
        subjects = [principal.id, *([principal.agent_id] if principal.agent_id else []), *principal.delegation_path]
        return Loaded(value=principal, seq=answer.seq, org_id=principal.org_id, subject_ids=frozenset(subjects))

    async def run(self) -> None:
        """Report uses every minute until cancelled."""
        while True:
            await asyncio.sleep(_REPORT_EVERY)
            await self.report_uses()

    async def report_uses(self) -> None:
        """Tell identity when keys were last used since the last report. A lost report is no harm."""
        uses, self._uses = self._uses, {}
        if uses:
            listed = [
                pb.RecordUseRequest.Use(org_id=org, principal_id=key, used_at_ms=at) for (org, key), at in uses.items()
            ]
            await self._stub.RecordUse(pb.RecordUseRequest(uses=listed[:10_000]), timeout=_DEADLINE)
