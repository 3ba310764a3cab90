"""The language of formulas for teaching signals: what its words mean, how it is read and varied."""
