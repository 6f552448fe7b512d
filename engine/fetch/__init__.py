"""Gets published models and data from package archives: ``python -m engine.fetch NAME``.

conf/fetch/ says what can be had; this package only moves bytes and checks them against the sizes
and hashes pinned there. It imports no model, and nothing that it fetches is ever executed.
"""
