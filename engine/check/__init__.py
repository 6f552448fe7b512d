"""What keeps a tree of results from being believed: findings, each a sentence.

Nothing of a tree is executed, no link is followed, and nothing wrong with it ends the check.
"""
