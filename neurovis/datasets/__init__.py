"""Published data sets, one file each, and the simulated cortex: stimuli, and responses or fixations."""
