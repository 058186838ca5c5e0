"""The PHI guard without its scanner. See README.md in this folder."""

from services.inference.domain.phi.detection import Detector
from services.inference.domain.phi.entities import by_category
from services.inference.domain.phi.guard import (
    Guard,
    Policy,
    Scanned,
    ScannedChat,
    ScannedMessages,
    Turn,
)
from services.inference.domain.phi.masking import Redaction
from services.inference.domain.phi.operators import (
    Anonymizer,
    Hash,
    Keep,
    Mask,
    Operator,
    Operators,
    Placeholder,
    Redact,
    Replace,
    UnknownEntityType,
)
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
from services.inference.domain.phi.texts import (
    RedactedTexts,
    RedactedTooLong,
    RestoredTooLong,
    TextGuard,
    restore_texts,
)

__all__ = [
    "Anonymizer",
    "Detector",
    "Guard",
    "Hash",
    "Keep",
    "Mask",
    "Operator",
    "Operators",
    "PhiBlocked",
    "PhiGuardSaturated",
    "PhiGuardUnavailable",
    "PhiInToolSchema",
    "PhiRefusal",
    "PhiTooComplex",
    "Placeholder",
    "PlaceholderMap",
    "Policy",
    "Redact",
    "RedactedTexts",
    "RedactedTooLong",
    "Redaction",
    "Replace",
    "RestoredTooLong",
    "Scanned",
    "ScannedChat",
    "ScannedMessages",
    "Span",
    "StreamRestorer",
    "TextGuard",
    "TextStreamRestorer",
    "Turn",
    "UnknownEntityType",
    "by_category",
    "restore_message",
    "restore_text",
    "restore_texts",
    "split_frames",
]
