"""Reading a ledger: questions, the rows that answer them, and following what comes."""
