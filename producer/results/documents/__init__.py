"""The answers of a job that asks documents, by document.

`texts` has what was read of them, `wide` makes a line of each, `marked` a web page.
"""
