"""What rows cost: the work of their windows, a model's cost curve, and a job's forecast beside the time it took.

A submitter writes a forecast into the manifest, workers report how fast they are, and the report keeps both the
forecast and the time that the job took. `producer.forecast` makes forecasts. Pure: nothing else comes in.
"""
