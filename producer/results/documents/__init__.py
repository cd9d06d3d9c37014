"""The answers of a job with documents, by document.

`texts` has the documents as they were read, `wide` makes a line of each, `marked` a web page.
"""
