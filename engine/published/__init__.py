"""Published rounds of results: read, recomputed, tabulated. It measures nothing.

It knows the folders and logs of a results repository, and the rules' editions; nothing that it
reads is executed or trusted.
"""
