"""What the random programs of a run contained, for each backend."""

from collections import Counter, defaultdict

TALLY: defaultdict[str, Counter[str]] = defaultdict(Counter)
