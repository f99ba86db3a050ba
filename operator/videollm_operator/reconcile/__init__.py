"""World in, actions and status out; pure."""
