"""The bytes of a user's record and of archived events, in every format ever written."""
