"""What a file will take before it is submitted: windows, CPU hours, and when the workers that are there will be done.

`windows` counts the windows of rows, `survey` adds them up while an input is read, `fleet` makes time of that, `make`
joins them. `ahead` asks Redis and storage for workers, for jobs that are due before, and for how good earlier forecasts
were. No model runtime comes in: texts are counted by their bytes, and a sample of them by the model's tokenizer where
that lies on this machine (`tokens`).
"""
