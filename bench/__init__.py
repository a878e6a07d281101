"""Benchmarks: longarm beside its peers on the same machine in one run, as ratios."""
