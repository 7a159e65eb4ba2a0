"""A WORLD to try the hub in: a retail estate that lives from a seed, links that carry its facts badly, a referee who knows better.

The world knows no clock and does no I/O; it yields facts with their own instants. Links decide how late, how often and
in which order they arrive. The drive sends them to a hub over its public API, and the referee compares what the hub
believes in the end with what is true.
"""
