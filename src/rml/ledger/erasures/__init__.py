"""What a ledger forgets of values kept beside entries, and what tells that it did."""
