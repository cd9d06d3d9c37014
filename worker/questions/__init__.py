"""Questions that a worker answers at once, beside the chunks that it scores: `lane`. Must not import: Celery, jobs."""
