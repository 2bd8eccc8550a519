"""What leaves a ledger for people who do not have it."""
