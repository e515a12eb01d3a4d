"""Tests of audiences as SQL."""
