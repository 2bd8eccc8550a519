"""Stopping an operation on the record, and showing that it has stopped."""
