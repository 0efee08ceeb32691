"""The discovery loop: an LLM or genetic variation writes proxies, a controller chooses how to ask."""
