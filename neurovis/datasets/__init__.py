"""Published data sets, one file each, and the simulated cortex; each loader returns stimuli and responses."""
