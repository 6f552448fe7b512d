"""Systems under test beside bare loops and other programs over the same networks."""
