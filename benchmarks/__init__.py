"""Benchmarks: ``python -m benchmarks`` runs them all and prints one table.

Every figure is a ratio to a peer measured in the same run: the rounds of all systems are interleaved, and the median
round counts.  Peers that are not installed are left out (``pip install graphc[bench]`` brings them).

graphc runs in one thread here, and so does NumPy's BLAS, unless GRAPHC_FLAGS and OPENBLAS_NUM_THREADS say otherwise:
two threads that wait for each other on a busy machine measure the machine.  What several threads bring is a table of
its own, `threads`.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GRAPHC_FLAGS", "threads=1")
