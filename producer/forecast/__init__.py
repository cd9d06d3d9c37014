"""What a file will take, before it is submitted: windows, CPU hours, and time on the running workers.

`windows` counts the windows of rows, `survey` adds them up while an input is read, `fleet` turns them into time, `make`
joins them. `outlook` asks Redis and storage for workers, for jobs that are due before, and for how good earlier
forecasts were. No model runtime comes in: texts are counted by their bytes, and a sample of them by the model's
tokenizer if that is on this machine (`tokens`).
"""
