"""Motion: the classic motion-energy pyramid and models of V1 and MT."""
