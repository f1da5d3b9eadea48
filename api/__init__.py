"""The hub. Nothing is here yet; see docs/architecture.md for what comes."""
