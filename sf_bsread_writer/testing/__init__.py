"""Helpers for tests and for people who test against this package; nothing else imports them."""
