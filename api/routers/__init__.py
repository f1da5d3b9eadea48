"""What the hub answers, a module a noun. Every router but those of public things is made of signed routes."""
