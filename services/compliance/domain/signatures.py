"""What a webhook request says of itself, so that its receiver can believe it.

Standard Webhooks (https://www.standardwebhooks.com) by the library that receivers verify with, and beside it a plain
HMAC-SHA-256 of the body, keyed by the secret as it was shown.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook


def headers(delivery_id: str, body: bytes, secrets: Sequence[str], now: datetime) -> list[tuple[str, str]]:
    """`secrets` are those that count, newest first, at least one; `body` is UTF-8. The id is the same at every try."""
    standard = " ".join(Webhook(secret).sign(delivery_id, now, body.decode()) for secret in secrets)
    signed = [
        ("Content-Type", "application/json"),
        ("User-Agent", "Hasp-Webhook/1.0"),
        ("X-Hasp-Webhook-Id", delivery_id),
        ("X-Hasp-Signature-256", _plain(secrets[0], body)),
        ("webhook-id", delivery_id),
        ("webhook-timestamp", str(int(now.timestamp()))),
        ("webhook-signature", standard),
    ]
    if len(secrets) > 1:
        signed.insert(4, ("X-Hasp-Signature-256-Previous", _plain(secrets[1], body)))
    return signed


def _plain(secret: str, body: bytes) -> str:
    return f"sha256={hmac.digest(secret.encode(), body, 'sha256').hex()}"
