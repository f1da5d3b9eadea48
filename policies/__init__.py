"""Who may do what: agreements, approvals, certificates.

`parse` and `validate` read an agreement, `compiled` makes it ready, `evaluate` decides (the door; pure, fail closed),
`refusal` says why not. `approvals` and `duties` say who must sign, `sign` what is signed. `diff` and `impact` show a
change before it is made, `odrl` shows an agreement to others.
"""
