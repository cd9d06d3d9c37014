"""Files that are sent to the server. A process of its own reads each, so that none takes the server down.

`form` receives a file and its options; `reader` has it read by a child when it is its client's turn (`line`). Children
run `reading`, and are forked from a `template`. What must not come in: what is in a file, which `producer.input` knows.
"""
