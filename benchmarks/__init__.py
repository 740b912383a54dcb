"""Benchmarks of the provider: ratios within one run, on the machine at hand."""
