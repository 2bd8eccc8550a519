"""What a project that builds on `rml` uses in its own tests."""

from rml.testing.contract import assert_error_contract

__all__ = ["assert_error_contract"]
