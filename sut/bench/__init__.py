"""What a system adds to its runtime: ``python -m sut.bench``."""
