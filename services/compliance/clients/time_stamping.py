"""A time-stamping authority, asked over HTTP: RFC 3161, transport as in its §3.4.

A token shows that what it stamps existed at a time, on the word of somebody other than the operator. An authority is optional; its
answer is believed only after its status, imprint, nonce and policy were compared with what was asked (RFC 3161 §2.2) and, where roots are
configured, its signature and certificate with those. It gets a hash, never what is hashed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore
from asn1crypto import tsp
from cryptography import x509
from pyhanko.sign.timestamps import TimeStamper, TimestampRequestError
from rfc3161_client import PKIStatus, TimeStampResponse, VerificationError, VerifierBuilder, decode_timestamp_response

_SECONDS = 10.0
_MOST_BYTES = 64 * 1024
_HASHES = {"sha256": "2.16.840.1.101.3.4.2.1", "sha384": "2.16.840.1.101.3.4.2.2", "sha512": "2.16.840.1.101.3.4.2.3"}
"""By their object identifiers (RFC 5754 §2.2 to §2.4)."""
_QUERY, _REPLY = b"application/timestamp-query", b"application/timestamp-reply"


class NotStamped(TimestampRequestError):
    """There is no token that can be believed. The message quotes nothing that the authority wrote."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a token must repeat. Algorithm and policy are object identifiers, dotted."""

    algorithm: str
    digest: bytes
    nonce: int | None
    policy: str | None


def _asked(req: tsp.TimeStampReq) -> _Asked:
    told: dict[str, Any] = dict(req.native or {})
    imprint = told["message_imprint"]
    algorithm = _HASHES.get(imprint["hash_algorithm"]["algorithm"])
    if algorithm is None:
        raise NotStamped("nothing weaker than SHA-256 is stamped")
    return _Asked(algorithm, imprint["hashed_message"], told["nonce"], told["req_policy"])


class TimeStampingAuthority(TimeStamper):
    """One authority. It is a pyHanko time stamper too: what signs a PDF takes it as it is (`async_timestamp(digest, algorithm)`)."""

    def __init__(self, url: str, roots: Sequence[x509.Certificate] = (), *, seconds: float = _SECONDS) -> None:
        """`roots`: those to which its certificate must chain; without any, no signature is checked. `seconds`: for one question, in
        all. Raises ValueError for a URL that is not one of an authority."""
        super().__init__()
        self._url = check_url(url)
        self._roots = list(roots)
        self._seconds = seconds
        self._tls = httpcore.default_ssl_context()

    @property
    def name(self) -> str:
        """Its URL without the query, for whoever reads what it stamped."""
        return self._url.partition("?")[0]

    async def stamp(self, message: bytes) -> bytes:
        """A token over the message, by its SHA-256, as DER. Raises NotStamped."""
        token = await self.async_timestamp(hashlib.sha256(message).digest(), "sha256")
        return token.dump()

    async def async_request_tsa_response(self, req: tsp.TimeStampReq) -> tsp.TimeStampResp:
        """What the authority answers, once it was checked. Raises NotStamped."""
        asked = _asked(req)
        body = await self._post(req.dump())
        try:
            self._check(decode_timestamp_response(body), asked)
        except (ValueError, x509.InvalidVersion, x509.DuplicateExtension) as failure:
            raise NotStamped("the authority's answer cannot be read") from failure
        return tsp.TimeStampResp.load(body)

    def _check(self, answer: TimeStampResponse, asked: _Asked) -> None:
        """Raises NotStamped; ValueError for an answer that has no token."""
        if answer.status != PKIStatus.GRANTED:
            raise NotStamped(f"the authority refused, with status {answer.status}")
        stamped = answer.tst_info
        imprint = stamped.message_imprint
        if (imprint.hash_algorithm.dotted_string, imprint.message) != (asked.algorithm, asked.digest):
            raise NotStamped("the authority stamped something else")
        if stamped.nonce != asked.nonce:
            raise NotStamped("the authority answered another question")
        if asked.policy is not None and stamped.policy.dotted_string != asked.policy:
            raise NotStamped("the authority stamped under another policy")
        if not answer.signed_data.certificates:
            raise NotStamped("the token does not hold the authority's certificate")
        if self._roots:
            try:
                VerifierBuilder(roots=self._roots).build().verify(answer, asked.digest)
            except VerificationError as failure:
                raise NotStamped("the token is not signed by the authority that is configured") from failure

    async def _post(self, query: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exchange(query)
        except (TimeoutError, httpcore.TimeoutException):
            raise NotStamped("the authority did not answer in time") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as failure:
            if isinstance(failure, NotStamped):
                raise
            raise NotStamped("the authority cannot be reached") from failure

    async def _exchange(self, query: bytes) -> bytes:
        headers = [(b"Content-Type", _QUERY), (b"Accept", _REPLY)]
        # httpcore leaves a socket open where a handshake is cancelled from outside: its own limit must be the first to be met.
        limits = {"timeout": {"connect": self._seconds / 2}}
        # It follows no redirect and reads no proxy from the environment.
        async with httpcore.AsyncConnectionPool(ssl_context=self._tls) as connections:
            async with connections.stream(
                "POST", self._url, headers=headers, content=query, extensions=limits
            ) as answer:
                if answer.status != 200:
                    raise NotStamped(f"the authority answered with HTTP status {answer.status}")
                kinds = [value for name, value in answer.headers if name.lower() == b"content-type"]
                if [kind.partition(b";")[0].strip().lower() for kind in kinds] != [_REPLY]:
                    raise NotStamped("what answered is not a time-stamping authority")
                body = bytearray()
                async for piece in answer.aiter_stream():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise NotStamped(f"the authority's answer is longer than {_MOST_BYTES} bytes")
                return bytes(body)


def time_stamping(url: str | None, certificate_file: Path | None) -> TimeStampingAuthority | None:
    """The configured authority; None where there is none. Raises ValueError, OSError."""
    if url is None:
        return None
    return TimeStampingAuthority(url, [] if certificate_file is None else load_roots(certificate_file))


def check_url(url: str) -> str:
    """The URL. Raises ValueError, which does not quote it."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii() or not url.isprintable():
        raise ValueError("a time-stamping authority has an http or https URL")
    if parts.username is not None or parts.password is not None or parts.fragment or " " in url:
        raise ValueError("the URL of a time-stamping authority has no credentials, fragment or blank")
    _ = parts.port, parts.hostname.encode("idna")  # each raises ValueError
    return url


def load_roots(path: Path) -> list[x509.Certificate]:
    """Certificates, PEM, at least one. Raises ValueError, as OSError for a file that cannot be read."""
    pem = path.read_bytes()
    try:
        roots = x509.load_pem_x509_certificates(pem)
    except ValueError as failure:
        raise ValueError("the file holds no certificate in PEM") from failure
    if len(roots) != pem.count(b"-----BEGIN CERTIFICATE-----"):
        raise ValueError("the file holds a certificate that cannot be read")
    return roots
