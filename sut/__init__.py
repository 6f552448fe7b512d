"""Systems under test: they take samples, run them and answer.

They know nothing of scenarios, bounds, rules, config or tracking. Each class satisfies
``loadgen.SystemUnderTest``; importing this package imports none of their runtimes.
"""
