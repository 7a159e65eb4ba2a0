"""DOOR in a shop: the store agent. It keeps what tills report while the line is down, and forwards it in order."""
