"""The HTTP face of the buffer: nothing but looking, and only while somebody looks does it cost anything."""
