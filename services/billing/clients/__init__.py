"""Siblings behind billing's own types."""
