"""A board, made into a checked inspection station."""
