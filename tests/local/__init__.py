"""Tests of the embedded property."""
