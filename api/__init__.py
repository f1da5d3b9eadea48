"""The hub: it records what parties sign, decides by rule what may be decided so, hands out work. It sees no data."""
