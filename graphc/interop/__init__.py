"""Bridges to other systems: programs that were written for Theano."""
