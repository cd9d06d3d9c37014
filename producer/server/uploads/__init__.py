"""Files that are sent to the server. A process of its own reads each, so that none takes the server down.

`form` receives a file and its options; `reader` has it read by a child, `reading`, when it is its client's turn
(`line`). What must not come in: what is in a file, which `producer.input` knows.
"""
