"""A Futian-shaped generator: made-up data with the shapes, errors and signal of the real kind."""
