"""Engines and readers that share one environment."""
