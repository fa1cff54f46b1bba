"""A dataset and a float network in; a defect-rich set, activation ranges and a threshold out."""
