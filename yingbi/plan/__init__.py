"""The closed set of questions that a partner can ask, and their one canonical form.

Every party shares it: the SDK builds plans, the hub judges them, the node admits and runs them. SQL text and JSON are
two spellings of the same plan; nothing a partner writes is ever executed.
"""
