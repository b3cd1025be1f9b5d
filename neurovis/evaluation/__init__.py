"""Benchmarks, significance, studies of published data, and the bridge to Brain-Score."""
