"""What a ledger is taken out into: tiles, proofs for others, and copies of itself."""
