"""A load that rises until something breaks: what a peak is made of, who offers it, where the knee is, and what went first.

profile  what a peak is made of          offer  one step, by a process of its own
steps    which load comes next           run    the steps against a real hub, and the verdict
"""
