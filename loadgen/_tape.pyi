STATUS: dict[str, int]
