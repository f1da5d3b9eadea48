"""The catalogue's Flower app for parties that hold the same columns of different records."""
