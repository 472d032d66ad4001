"""What the random programs of a run contained."""

from collections import Counter

TALLY: Counter[str] = Counter()
