"""Joint computing across parties. Nothing is here yet; see docs/architecture.md for what comes."""
