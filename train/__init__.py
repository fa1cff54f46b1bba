"""Images and masks in, a joint model out: the classifier decides, the decoder draws."""
