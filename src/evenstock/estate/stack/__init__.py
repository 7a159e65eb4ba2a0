"""A day of an estate against the real hub: processes, databases, lines and disks that really fail, and an exact end.

script    what everybody in a box does that day      faults   what really goes wrong, and when
house     the processes, and the lines between        day      the day, driven
wire      a line that can be cut                      end      what must be true when all is healed
disk      a small disk that can be full               told     the timeline
"""
