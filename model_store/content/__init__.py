"""Content: features of the columns of ``items.*``; one kind of column per file.

| kind    | column                                          | features                                      |
|---------|-------------------------------------------------|-----------------------------------------------|
| tags    | strings, separated by "|" or in lists; booleans | ``genre=Comedy``                              |
| prose   | strings of more than six words between the "|", | ``plot~toy``, one per word                    |
|         | or of two or more if texts hardly recur         |                                               |
| numbers | numbers; dates as their year                    | ``year=1990..1994``, up to ten quantile bins  |
| vectors | lists of floats: an embedding of any modality   | ``image[3]``, weighted by the coordinate      |

The names of the features hold everything that encoding needs. ``bundle.features`` encodes by them, in training and in
the service.
"""
