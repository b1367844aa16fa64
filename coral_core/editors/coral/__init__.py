"""Editors with regions that are fitted for one prompt: CoralStyleCLIP, and CLIPInverter with regions."""
