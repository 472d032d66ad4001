"""Measurements that need a GPU: ``h200.sh`` runs them all in one go."""
