"""Benchmarks: ``python -m benchmarks`` runs them all and prints one table.

Every figure is a ratio to a peer measured in the same run: the rounds of all systems are interleaved, and the median
round counts.  Peers that are not installed are left out (``pip install graphc[bench]`` brings them).
"""
