"""Documents: text files, web pages, Word and PDF as text with pages, and questions that are asked of each.

`child` is a process that reads documents within bounds (`extract`: a module a format); `extractor` has it read one
after the other; `files` makes the rows of a job of them. What must not come in: the libraries that read documents,
outside of the child.
"""
