"""Studies of published data: ``analyse_<name>(root, *, n_permutations, seed)`` to a ``StudyResult``."""
