"""The tampering matrix: attacks on the file of a log, and the logs that go through them."""
