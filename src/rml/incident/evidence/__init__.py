"""What is counted from the ledger, and what logs and traces say beside it."""
