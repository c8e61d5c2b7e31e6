"""Which dropout-family regularizer to use, at what rate, and is the gain real."""
