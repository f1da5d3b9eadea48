"""Flower apps of the catalogue, each a folder that Flower can run by itself."""
