"""Billing's verbs: a class per noun, the one transaction of each verb opened in it."""
