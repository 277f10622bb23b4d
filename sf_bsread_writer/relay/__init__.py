"""Source → ring → any number of clients."""
