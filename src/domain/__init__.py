"""What is true: entities, values and rules, without any framework."""
