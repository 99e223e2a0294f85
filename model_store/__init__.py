"""Learns: events → episodes → meta-training → evaluation → export → a bundle."""
