"""Many runs of one benchmark: the search for its peak, and the summary of a sweep.

It knows loads and what came of them. It knows nothing of models, systems, config or tracking:
a run is a callable ``evaluate(rate, kind) -> Probe``.
"""
