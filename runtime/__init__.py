"""Frames in, verdicts out: the part of defectgate that runs on the device."""
