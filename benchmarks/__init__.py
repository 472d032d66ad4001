"""Benchmarks: ``python -m benchmarks`` runs them all and prints one table.

Every figure is a ratio to a peer measured in the same run: the rounds of all systems are interleaved, and the median
round counts.  Peers that are not installed are left out (``pip install graphc[bench]`` brings them).

graphc runs in one thread, and so does NumPy's BLAS here unless OPENBLAS_NUM_THREADS says otherwise: two threads that
wait for each other on a busy machine measure the machine.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
