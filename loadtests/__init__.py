"""Load tests: ``python -m loadtests`` lists them."""
