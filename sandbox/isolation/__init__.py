"""The cage: where computations run, without network, other files or a way out."""
