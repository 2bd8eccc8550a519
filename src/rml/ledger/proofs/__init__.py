"""Proofs over the ledger's tree: what shows, without the ledger, that an entry is in it."""
