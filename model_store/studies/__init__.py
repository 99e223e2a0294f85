"""Studies: experiments that train in order to answer a question, and keep no bundle."""
