"""Submit files of questions and contexts, watch the jobs, read the predictions.

from producer import Client

job = Client().submit("questions.csv")
job.wait()
job.results()        # a pandas DataFrame
"""

from producer.client import Client, Job

__all__ = ["Client", "Job"]
