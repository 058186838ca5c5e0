"""Siblings and vendors behind our own types."""
