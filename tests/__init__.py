"""The tests: one module per module, and what they share in conftest."""
