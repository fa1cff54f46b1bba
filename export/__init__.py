"""A trained model in, a bundle out: the networks in every rendering, with what they promise."""
