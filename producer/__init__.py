"""Submit files of questions and contexts, watch the jobs, read the predictions.

from producer import Client

job = Client().submit("questions.csv")
job.wait()
job.results()        # a pandas DataFrame
"""

import os

# Arrow decides when it is first imported. Its own allocator takes up to a GiB at a time and hands that out itself: the
# limit on what reading may take (`producer.input.memory`) then bounds the taking, not the use. The system's asks the
# kernel for what is needed, and is no slower here. Worker processes are their own: they read chunks that we wrote.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


from producer.client import Client, Job

__all__ = ["Client", "Job"]
