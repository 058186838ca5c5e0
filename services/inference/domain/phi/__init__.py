"""The PHI guard without its scanner. See README.md in this folder."""

from services.inference.domain.phi.entities import by_category
from services.inference.domain.phi.guard import (
    Detector,
    Guard,
    Policy,
    Scanned,
    ScannedChat,
    ScannedMessages,
    Turn,
)
from services.inference.domain.phi.masking import Redaction
from services.inference.domain.phi.placeholders import PlaceholderMap
from services.inference.domain.phi.refusals import (
    PhiBlocked,
    PhiGuardSaturated,
    PhiGuardUnavailable,
    PhiInToolSchema,
    PhiRefusal,
    PhiTooComplex,
)
from services.inference.domain.phi.restore import restore_message, restore_text
from services.inference.domain.phi.spans import Span
from services.inference.domain.phi.stream import StreamRestorer, TextStreamRestorer, split_frames
from services.inference.domain.phi.texts import RedactedTexts, RestoredTooLong, restore_texts

__all__ = [
    "Detector",
    "Guard",
    "PhiBlocked",
    "PhiGuardSaturated",
    "PhiGuardUnavailable",
    "PhiInToolSchema",
    "PhiRefusal",
    "PhiTooComplex",
    "PlaceholderMap",
    "Policy",
    "RedactedTexts",
    "Redaction",
    "RestoredTooLong",
    "Scanned",
    "ScannedChat",
    "ScannedMessages",
    "Span",
    "StreamRestorer",
    "TextStreamRestorer",
    "Turn",
    "by_category",
    "restore_message",
    "restore_text",
    "restore_texts",
    "split_frames",
]
