"""Envelope encryption: contents under per-organization data keys, data keys under the key-encryption key.

AES-256-GCM. A sealed value is `0x01 | version (4 bytes) | nonce (12 bytes) | ciphertext and tag`; organization, table, row
and key version are authenticated with it, so that a value copied to another row, table or organization does not open.
"""

import asyncio
import base64
import hashlib
import os
import struct
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.chassis.access import OrgId
from services.chassis.database import Database

_FORMAT = b"\x01"
_HEADER = struct.Struct(">cI")
_NONCE = 12
_KEY_ID = 8
_FIRST_KEY = 1
# A key rotated by another replica is taken up after this many seconds at the latest.
_NEWEST_FOR = 60.0


class SealBroken(Exception):
    """The value was altered, belongs to another row, or its key is gone. Never holds any of the value."""


class KeyEncryptionKey(Protocol):
    """Wraps data keys: a file in development, a key management service elsewhere."""

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        """`key` in a form that only `unwrap` with the same `context` opens."""
        ...

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Raises `SealBroken`."""
        ...


class FileKek:
    """Keys from a file: one base64 line of 32 bytes each. The first wraps; all of them unwrap, so that it can be changed."""

    def __init__(self, path: Path) -> None:
        keys = [base64.b64decode(line, validate=True) for line in path.read_text().split()]
        if not keys or any(len(key) != 32 for key in keys):
            raise ValueError(f"{path}: expected base64 lines of 32 bytes each")
        self._keys = {hashlib.sha256(b"hasp kek id" + key).digest()[:_KEY_ID]: AESGCM(key) for key in keys}
        self._first = next(iter(self._keys))

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return self._first + nonce + self._keys[self._first].encrypt(nonce, key, context)

    async def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        aead = self._keys.get(wrapped[:_KEY_ID])
        if aead is None:
            raise SealBroken("wrapped by a key-encryption key that is not configured")
        nonce, ciphertext = wrapped[_KEY_ID : _KEY_ID + _NONCE], wrapped[_KEY_ID + _NONCE :]
        try:
            return aead.decrypt(nonce, ciphertext, context)
        except InvalidTag:
            raise SealBroken("the wrapped key does not open") from None


@dataclass(slots=True)
class _DataKey:
    version: int
    secret: bytes
    aead: AESGCM


class Sealer:
    """Seals and opens values of one service's database. Data keys are made at an organization's first value."""

    def __init__(self, db: Database, kek: KeyEncryptionKey, *, max_keys: int = 10_000) -> None:
        self._db = db
        self._kek = kek
        self._max_keys = max_keys
        self._keys: OrderedDict[tuple[str, int], _DataKey] = OrderedDict()
        self._newest: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._loading: dict[str, asyncio.Lock] = {}

    async def seal(self, org_id: OrgId, *, table: str, row: str, plaintext: bytes) -> bytes:
        """`row` is the primary key within the organization, or with the column where a row holds several sealed ones."""
        key = await self._newest_key(org_id)
        nonce = os.urandom(_NONCE)
        bound = _bound(org_id, table, row, key.version)
        return _HEADER.pack(_FORMAT, key.version) + nonce + key.aead.encrypt(nonce, plaintext, bound)

    async def open(self, org_id: OrgId, *, table: str, row: str, sealed: bytes) -> bytes:
        """Raises `SealBroken`."""
        if len(sealed) < _HEADER.size + _NONCE:
            raise SealBroken("too short for a sealed value")
        form, version = _HEADER.unpack_from(sealed)
        if form != _FORMAT:
            raise SealBroken("not a sealed value")
        key = await self._key(org_id, version)
        nonce, ciphertext = sealed[_HEADER.size : _HEADER.size + _NONCE], sealed[_HEADER.size + _NONCE :]
        try:
            return key.aead.decrypt(nonce, ciphertext, _bound(org_id, table, row, version))
        except InvalidTag:
            raise SealBroken(f"a value of {table} does not open") from None

    async def derive(self, org_id: OrgId, purpose: str, *, lasting: bool = False) -> bytes:
        """32 secret bytes of the organization for one purpose. They change when the data key is rotated, unless `lasting`."""
        key = await self._newest_key(org_id)
        if lasting and key.version != _FIRST_KEY:
            key = await self._key(org_id, _FIRST_KEY)
        return HKDF(SHA256(), 32, salt=None, info=b"hasp:" + purpose.encode()).derive(key.secret)

    async def rotate(self, org_id: OrgId) -> int:
        """A new data key for what is sealed from now on; its version. Older values keep opening."""
        version = (await self._latest_version(org_id) or 0) + 1
        await self._make(org_id, version)
        self._newest.pop(org_id, None)
        return version

    async def _newest_key(self, org_id: OrgId) -> _DataKey:
        known = self._newest.get(org_id)
        if known is not None and time.monotonic() < known[1]:
            key = self._keys.get((org_id, known[0]))
            if key is not None:
                return key
        async with self._one_loader(org_id):
            known = self._newest.get(org_id)
            if known is None or time.monotonic() >= known[1]:
                version = await self._latest_version(org_id)
                if version is None:
                    await self._make(org_id, _FIRST_KEY)
                    version = _FIRST_KEY
                self._newest[org_id] = known = (version, time.monotonic() + _NEWEST_FOR)
                _bound_to(self._newest, self._max_keys)
        return await self._key(org_id, known[0])

    def _one_loader(self, org_id: str) -> asyncio.Lock:
        lock = self._loading.get(org_id)
        if lock is None:
            if len(self._loading) >= self._max_keys:
                self._loading = {org: held for org, held in self._loading.items() if held.locked()}
            lock = self._loading[org_id] = asyncio.Lock()
        return lock

    async def _key(self, org_id: OrgId, version: int) -> _DataKey:
        key = self._keys.get((org_id, version))
        if key is None:
            async with self._db.hot.connection() as connection:
                found = await connection.execute(
                    "SELECT wrapped FROM data_keys WHERE org_id = %s AND version = %s", (org_id, version)
                )
                row = await found.fetchone()
            if row is None:
                raise SealBroken(f"data key {version} is gone")
            secret = await self._kek.unwrap(bytes(row[0]), _key_context(org_id, version))
            key = self._keys[org_id, version] = _DataKey(version, secret, AESGCM(secret))
            _bound_to(self._keys, self._max_keys)
        return key

    async def _latest_version(self, org_id: OrgId) -> int | None:
        async with self._db.hot.connection() as connection:
            found = await connection.execute("SELECT max(version) FROM data_keys WHERE org_id = %s", (org_id,))
            row = await found.fetchone()
        return row[0] if row else None

    async def _make(self, org_id: OrgId, version: int) -> None:
        wrapped = await self._kek.wrap(AESGCM.generate_key(256), _key_context(org_id, version))
        async with self._db.hot.connection() as connection:
            # Another replica may be first: then its key is the one.
            await connection.execute(
                "INSERT INTO data_keys (org_id, version, wrapped) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (org_id, version, wrapped),
            )


def _bound(org_id: str, table: str, row: str, version: int) -> bytes:
    """Unambiguous: each part is preceded by its length."""
    parts = (b"hasp sealed value", org_id.encode(), table.encode(), row.encode(), str(version).encode())
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _key_context(org_id: str, version: int) -> bytes:
    return _bound(org_id, "data_keys", "", version)


def _bound_to(cache: OrderedDict, most: int) -> None:
    while len(cache) > most:
        cache.popitem(last=False)
