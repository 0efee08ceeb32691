"""`tap bench`: proxies side by side on networks, by agreement with measured truth and by measured plans."""
