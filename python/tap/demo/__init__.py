"""`tap demo`: the whole flow on a small network and data that the package carries."""
