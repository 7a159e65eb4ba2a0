"""Traces: the id that follows one transaction through everything, and its story in steps."""
