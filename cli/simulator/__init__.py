"""A stand-in for the model provider that speaks its real Messages wire format.

`hasp up` starts it when no provider key is set, and the tests use it as their only fake. It answers from what it was
sent and from nothing else, so that a caller sees exactly which text left the suite.
"""
