"""How good an architecture is, one file a way of finding out."""
