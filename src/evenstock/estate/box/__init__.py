"""The estate in a box: a whole retailer in one process, in virtual time, around the rules of `core` in memory.

    scenario + seed + policy → WORLD (what is true, who acts) → LINES (how facts travel, how badly) → HUB (core, in memory)
        → DOORS (what each channel shows; customers buy what is shown) → REFEREE (who knows the truth)

The same seed plays the same day, to the microsecond. The rules are those of production: nothing here decides what a fact
does to stock, what a count changes or who is promised what.
"""
