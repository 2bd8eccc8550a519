"""Verification: whether a ledger is what it says, and how surely that can be told."""
