"""The reference page of the client is the text of its docstrings."""

from sf_bsread_writer import client
from sf_bsread_writer.testing.client_page import CLASSES, PAGE, page


def test_page_is_that_of_the_docstrings() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m sf_bsread_writer.testing.client_page"


def test_page_has_all_that_the_client_exports() -> None:
    assert sorted(class_.__name__ for class_ in CLASSES) == sorted(client.__all__)
