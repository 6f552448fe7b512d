"""A submission: the results of one system in the suite's directory tree.

It writes what was measured and asks for what cannot be known; it measures nothing itself.
"""
