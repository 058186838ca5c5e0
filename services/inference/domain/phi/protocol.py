"""Constants of the provider's protocol that more than one part of the guard lets pass."""

CACHE_CONTROL = ({"type": "ephemeral"}, {"type": "ephemeral", "ttl": "5m"}, {"type": "ephemeral", "ttl": "1h"})
