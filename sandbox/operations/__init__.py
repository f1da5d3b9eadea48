"""The whitelist: every computation that a plan can name, one module an operation, and what each answers.

`registry` lists them. An operation says its name in agreements, the rights it needs, the measures it publishes, the
disclosure rules that hold for it, and its cost.
"""
