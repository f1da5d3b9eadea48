"""What may be computed, and what may come out.

Nothing is here yet; docs/architecture.md says what comes.
"""
