"""Slow, obvious twins of the fast kernels, written apart from them from the definitions alone."""
