"""The scanner behind the PHI guard: Presidio, our recognizers, and the processes they run in."""

from services.inference.clients.presidio.pool import PoolSettings, PresidioPool, TextScanner
from services.inference.clients.presidio.versions import Tier

__all__ = ["PoolSettings", "PresidioPool", "TextScanner", "Tier"]
