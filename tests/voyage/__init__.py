"""Seeded voyages: service and store over a disk, a clock and a loop that the test owns."""
