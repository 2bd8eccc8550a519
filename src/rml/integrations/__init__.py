"""Neighbours: one small file for each thing that `rml` is built into; only users import them."""
