"""Billing's tables, and functions that take a transaction."""
