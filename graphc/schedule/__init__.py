"""The schedule: in which order what is computed, under which predicates, in which memory, and the commit at its end."""
