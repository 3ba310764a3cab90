"""The contract between learning rules and the population, and the families of rules."""
