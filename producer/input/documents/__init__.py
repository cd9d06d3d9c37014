"""Documents: text files, web pages, Word and PDF as text with pages, and the questions to ask about each.

`child` is a process that reads documents within bounds (`extract`, with a module for each format); `extractor` has it
read one after the other; `files` makes the rows of a job from them. What must not come in: the libraries that read
documents, outside of the child.
"""
