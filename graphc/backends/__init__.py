"""Backends: each turns a schedule into something that runs.  They are named by string and imported when first used."""
