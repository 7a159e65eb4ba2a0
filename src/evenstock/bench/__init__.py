"""MEASURING. What the hub does in a second, beside the raw limit of the database under it (DESIGN §7)."""
