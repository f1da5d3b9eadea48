"""Who may do what: agreements, approvals, certificates.

Nothing is here yet; docs/architecture.md says what comes.
"""
