"""Questions that are answered at once, beside the jobs: `stored` has them and their replies.

A question and its reply are objects in storage; the queue has names only, so who can write to Redis asks nothing and
answers nothing. Both are short-lived: whoever asked removes them, and what is left is swept.
"""
