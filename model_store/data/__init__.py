"""Events enter here: sources → cleaned, ordered, coded → users split → episodes."""
