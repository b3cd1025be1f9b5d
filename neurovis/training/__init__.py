"""One torch training loop, as a function, with checkpoints that a killed run resumes from."""
