"""What may be computed, and what may come out. Nothing is here yet; see docs/architecture.md for what comes."""
