"""`rdrop-choose`: from a question to an answer within a budget."""
