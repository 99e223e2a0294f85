"""The bytes of users' records and archived events, in every format ever written."""
