"""Parts that the load tests share."""
