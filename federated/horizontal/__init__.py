"""Recipes of horizontal training: pure, NumPy only; docs/spec/recipes.md."""
