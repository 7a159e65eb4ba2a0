"""DOOR for machines: one file a resource."""
