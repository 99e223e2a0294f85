"""The model in the service: adapting, ranking, and swapping bundles."""
