"""Tokens: how they are made, and the keyed hash that is all the database knows of them.

128 random bits and more need no slow password hash; HMAC-SHA-256 under a pepper from outside the database makes a stolen
table useless.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# Without 0 O 1 I L i l o U u, which are read for each other, or make words.
UNMISTAKABLE = "23456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz"
AGENT_PREFIX = "hasp_agent_"
AGENT_TEST_PREFIX = "hasp_agent_test_"
_PEPPER_BYTES = 32


class Format(StrEnum):
    """The forms of an API key. Both authenticate everywhere."""

    WA_LIVE = "wa_live"
    HASP_KEY_LIVE = "hasp_key_live"


@dataclass(frozen=True, slots=True)
class Token:
    """A token at the one moment it is known."""

    plaintext: str
    prefix: str

    @property
    def last_four(self) -> str:
        return self.plaintext[-4:]

    @classmethod
    def new(cls, form: Format) -> Token:
        prefix = f"{form}_"
        if form is Format.WA_LIVE:
            return cls(prefix + secrets.token_hex(16), prefix)
        return cls(prefix + "".join(secrets.choice(UNMISTAKABLE) for _ in range(32)), prefix)

    @classmethod
    def for_agent(cls, *, test_mode: bool) -> Token:
        """Of an agent's credential: 256 random bits."""
        prefix = AGENT_TEST_PREFIX if test_mode else AGENT_PREFIX
        while (body := secrets.token_urlsafe(32)).startswith("test_"):
            pass  # it would look like the beginning of the other prefix
        return cls(prefix + body, prefix)


@dataclass(frozen=True, slots=True)
class TokenHash:
    digest: bytes
    """32 bytes."""
    pepper_version: int


class Peppers:
    """The keys of the token hash, by version. New tokens are hashed with the newest; a token is looked for under all of them."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._keys = dict(keys)
        self._newest = max(self._keys)

    @classmethod
    def parse(cls, text: str) -> Peppers:
        """One pepper a line, `version:base64`; a line without a version is version 1. Raises ValueError."""
        keys: dict[int, bytes] = {}
        for line in text.split():
            version, _, encoded = line.rpartition(":")
            try:
                number, key = int(version or 1), base64.b64decode(encoded, validate=True)
            except (ValueError, binascii.Error):
                raise ValueError("a pepper is not of the form version:base64") from None
            if len(key) < _PEPPER_BYTES or number in keys or not 0 < number < 2**15:
                raise ValueError(f"a pepper has at least {_PEPPER_BYTES} bytes and a version of its own")
            keys[number] = key
        if not keys:
            raise ValueError("there is no pepper")
        return cls(keys)

    def hash(self, token: str) -> TokenHash:
        return TokenHash(self._digest(self._newest, token), self._newest)

    def digests(self, token: str) -> list[bytes]:
        """What the token may be stored as. The same number for every token."""
        return [self._digest(version, token) for version in self._keys]

    def _digest(self, version: int, token: str) -> bytes:
        return hmac.digest(self._keys[version], token.encode(), hashlib.sha256)
