"""Audits: whether a system answers honestly while it is timed (paper, IV-D and V-E)."""
