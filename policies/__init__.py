"""Who may do what: agreements, approvals, certificates. Nothing is here yet; see docs/architecture.md for what comes."""
