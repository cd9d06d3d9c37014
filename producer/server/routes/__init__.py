"""What can be asked of the server: jobs, answers at once, the page. Each route is a call of what the command calls."""
