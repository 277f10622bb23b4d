"""Received bytes in recycled segments, with an index row for each message."""
