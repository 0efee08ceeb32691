"""Files that the package carries: the digits, the demo network's weights, the plan's JSON schema."""
