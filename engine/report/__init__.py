"""What a user sees of a record: progress, summary, pictures. It computes no figure of its own."""
