"""Item vectors: their encoder, their prior, and the mapping from features."""
