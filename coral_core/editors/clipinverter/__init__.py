"""CLIPInverter and what it trains with."""
