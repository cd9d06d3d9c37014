"""Score chunks of question answering jobs with a warm reader, and make the models that do it."""
