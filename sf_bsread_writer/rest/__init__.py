"""The HTTP faces of the writer and, in `rest.buffer`, of the buffer."""
