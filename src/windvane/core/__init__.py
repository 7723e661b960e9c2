"""What is true, with no network, clock or dice.

Each folder is one subject. Subjects meet only through ``verdict`` and ``sketch``.
"""
