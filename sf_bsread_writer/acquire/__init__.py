"""Pulses → range → report."""
