"""An evaluation as one HTML file that a person likes to read, and can keep."""
