"""A bot that trades recorded prices through the sidecar, and the demonstration of it.

Rules: nothing here is part of the product; the bot knows the sidecar only through the published
client; money and quantities are Decimal; every run with one seed is the same run.
"""
