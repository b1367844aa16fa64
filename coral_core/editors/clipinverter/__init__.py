"""CLIPInverter, and the captions, training pairs and discriminator of its fit."""
