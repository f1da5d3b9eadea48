"""The hub.

Nothing is here yet; docs/architecture.md says what comes.
"""
