"""From what a document says to the signed PDF."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property

import structlog

from services.chassis.errors import ServiceUnavailable
from services.compliance.clients.press.certificates import SigningIdentity, common_name
from services.compliance.clients.press.fonts import Fonts
from services.compliance.clients.press.signing import Prepared, prepare, sign
from services.compliance.clients.press.typesetting import typeset
from services.compliance.clients.time_stamping import NotStamped, TimeStampingAuthority
from services.compliance.domain.documents import Document, Part, Row, moment

log = structlog.get_logger()

_WARNED_BEFORE = timedelta(days=30)


class Press:
    """One document after another, in a thread of its own: the event loop has its turn every five milliseconds."""

    def __init__(self, identity: SigningIdentity, authority: TimeStampingAuthority | None = None) -> None:
        self._identity = identity
        self._authority = authority
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="press")

    async def make(self, document: Document) -> bytes:
        """The signed PDF. Raises ServiceUnavailable while the operator's certificate is not valid, or no time stamp is to be had."""
        if not self._identity.is_valid_at(document.made_at):
            log.error("no document is signed: the operator's signing certificate is not valid now")
            raise ServiceUnavailable("Documents cannot be signed now: the operator's signing certificate is not valid.")
        if not self._identity.is_valid_at(document.made_at + _WARNED_BEFORE):
            log.warning("the operator's signing certificate ends soon")
        prepared = await asyncio.get_running_loop().run_in_executor(self._thread, self._prepare, document)
        try:
            return await sign(prepared)
        except NotStamped as failure:
            log.error("no document is signed: the time-stamping authority gave no token", exc_info=failure)
            raise ServiceUnavailable("Documents cannot be time-stamped now. Try again.") from failure

    def _prepare(self, document: Document) -> Prepared:
        set_ = typeset(document, self._seal(document), self._fonts)
        return prepare(set_, self._identity, self._authority, document.made_at)

    @cached_property
    def _fonts(self) -> Fonts:
        return Fonts()

    def _seal(self, document: Document) -> Part:
        certificate = self._identity.certificate
        rows = [
            Row("Signed with", common_name(certificate.subject)),
            Row("Issued by", common_name(certificate.issuer)),
            Row("Certificate (SHA-256)", self._identity.fingerprint, fixed_width=True),
            Row("Signed on", moment(document.made_at)),
        ]
        if self._authority is not None:
            rows.append(Row("Time stamp of", self._authority.name))
        return Part("Digital signature of the Business Associate", rows)
