"""The auditor's side: what a log says, told, sampled, tested and packed for somebody who trusts nobody here.

Everything is worked out from published files: a log's tiles, and the documents that its entries name by digest. Nothing
here is imported by server code, and nothing here decides anything: the verifier (`yingbi.verify`) says whether the log
is a log, and `policies.standing` what its entries amount to.
"""
