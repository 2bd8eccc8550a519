"""Where ledgers are kept: one module a store, each with the protocol of :mod:`rml.ledger.store`."""
