"""A package so that pytest has a scope of it: the browser must have ended before other tests run an event loop of their own."""
