"""The routes: jobs, answers at once, the page. Each calls what the command calls."""
