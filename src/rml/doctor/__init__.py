"""Whether this machine, these libraries and this ledger can keep what rml promises."""
