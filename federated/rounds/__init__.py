"""What a round is: who may start it, what each side checks, records, sends and keeps (docs/spec/federation.md)."""
