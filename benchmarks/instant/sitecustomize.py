"""On a worker's PYTHONPATH, by benchmarks: its reader answers every question after $INSTANT seconds."""

import importlib.abc
import importlib.machinery
import os
import sys
import time


class _Instant(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "worker.reader.reader":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            pause = float(os.environ["INSTANT"])
            answer = module.Answer((), 0.0, 0.5)
            warm = set()

            def instant(self, question, context, options):
                if id(self) not in warm:  # while it warms up its answers have to be right
                    return real(self, question, context, options)
                if pause:
                    time.sleep(pause)
                return answer

            def instant_many(self, pairs, options):
                return [instant(self, *pair, options) for pair in pairs]

            def check_known(self):
                real_check(self)
                warm.add(id(self))

            real, real_check = module.Reader.answer, module.Reader.check_known
            module.Reader.answer, module.Reader.answer_many = instant, instant_many
            module.Reader.check_known = check_known

        spec.loader.exec_module = exec_module
        return spec


if "INSTANT" in os.environ:
    sys.meta_path.insert(0, _Instant())
