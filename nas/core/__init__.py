"""Values and contracts: standard library and numpy only, so that every other layer can import them cheaply."""
