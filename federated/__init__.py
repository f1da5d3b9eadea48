"""Joint computing across units: what federations train, how sums stay secret, and how rounds are carried and recorded.

docs/spec/federation.md is the protocol; docs/architecture.md says what each folder holds.
"""
