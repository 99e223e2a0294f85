"""The rating model of MeLU (Lee et al. 2019) and its evaluation, to compare with published figures."""
