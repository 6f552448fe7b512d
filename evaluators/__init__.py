"""From responses and ground truth to quality.

Evaluators know arrays and labels. They know nothing of samples' files, networks, clocks,
scenarios, configuration or tracking.
"""
