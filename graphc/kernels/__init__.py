"""Kernels: fused groups of nodes as loop nests."""
