"""Let others colour photos and films: a page, and an HTTP API."""
