"""What rows take: the work of their windows, the cost curve that prices it, and the forecast of a job.

A submitter writes a forecast into the manifest, workers say how fast they are, and the report keeps both the forecast
and what came of it. How a forecast is made is the producer's (`producer.forecast`). Pure: nothing else comes in.
"""
