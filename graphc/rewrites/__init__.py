"""Rewriting: rules are data in the tables of this room; `engine` matches and applies them."""
