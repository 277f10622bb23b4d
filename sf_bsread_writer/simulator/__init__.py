"""A bsread source of our own, for demonstrations, benchmarks and tests."""
