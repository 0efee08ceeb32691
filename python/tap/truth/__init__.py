"""How quantized networks are judged: losses, replayed prefixes, the journal of a run, and executors."""
