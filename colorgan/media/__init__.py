"""Photos and films as files: read and written, no networks."""
