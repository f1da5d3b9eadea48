"""The JSON forms of requests and answers, a module a noun; what they mean is said where it is made."""
