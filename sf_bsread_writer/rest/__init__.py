"""The HTTP face of the writer."""
