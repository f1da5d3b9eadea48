"""Joint computing across parties.

Nothing is here yet; docs/architecture.md says what comes.
"""
