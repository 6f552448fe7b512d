"""How fast systems are on the hardware at hand, beside other programs that run the same network."""
