"""Statistics of a PyTorch model: which units it has and what each proxy may read about them."""
