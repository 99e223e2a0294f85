"""Answers: request → user state → adapt / score → top-K."""
