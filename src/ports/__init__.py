"""What is needed from outside, as protocols in the words of the domain."""
