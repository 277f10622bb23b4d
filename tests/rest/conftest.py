"""A fake acquisition served over a real port, for httpx and for whoever else asks."""

from collections.abc import Iterator

import httpx
import pytest

from sf_bsread_writer.testing.acquisition import FakeAcquisition
from sf_bsread_writer.testing.serving import serving


@pytest.fixture
def acquisition() -> FakeAcquisition:
    return FakeAcquisition()


@pytest.fixture
def url(acquisition: FakeAcquisition) -> Iterator[str]:
    with serving(acquisition) as root:
        yield root


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=10) as opened:
        yield opened
