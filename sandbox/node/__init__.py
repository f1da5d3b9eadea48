"""The node: what a source unit runs. Its folder, and the way of a question through the gate."""
