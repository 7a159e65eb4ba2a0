"""What comes in because we fetch it: files that are left for us. One process at a time takes from a connection."""
