"""Documents as other programs write them, with the text that they hold."""
