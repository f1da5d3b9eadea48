"""The ledger: what happened, in an append-only log that its own operator cannot rewrite unseen.

Pure parts: `tree`, `tiles`, `proof`, `note`, `checkpoint`, `receipt`, `entry`, `trust_policy`. Around them: `store`
(the interface) with `store_memory` and `store_sql`, `log` (append, sequence, publish), `publish`, `witness`, `anchor`.
"""
