"""Entries that amend others: corrections, and amounts that are held before they are taken."""
