"""Anchors: where a ledger's last checkpoint is kept outside its own store."""
