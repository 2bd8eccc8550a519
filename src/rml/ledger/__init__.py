"""The effect ledger: what was done in the worlds outside, kept so that no change stays hidden."""
