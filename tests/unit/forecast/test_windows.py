"""Windows of rows as they are forecast, and as the encoder cuts them."""

from __future__ import annotations

import numpy as np
import pytest

from contract.forecast.work import Work
from contract.format.job import Options
from producer.forecast.windows import work_of
from tests import REPO
from worker.reader.encode import Encoder
from worker.reader.model import describe

SHIPPED = REPO / "models" / "minilm-l6-qa"


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(max_seq_len=64, doc_stride=16, max_question_len=8),
        Options(max_seq_len=4096, doc_stride=1000),
        Options(max_seq_len=40, doc_stride=20, max_question_len=12, top_windows=3),
    ],
    ids=["default", "short", "beyond the model", "top windows"],
)
def test_the_windows_of_a_row_are_those_that_the_encoder_cuts(options: Options):
    info = describe(SHIPPED)
    encoder = Encoder(SHIPPED / "tokenizer.json", info)
    question = "what is it and why ?"
    for words in [1, 7, 21, 22, 45, 46, 50, 379, 380, 381, 506, 507, 1500, 4000]:
        for asked in (question, " ".join([question] * 20)):
            encoded = encoder.encode(asked, " ".join(["bridge"] * words), options)
            cut = Work.of(len(window.input_ids) for window in encoded.windows)
            tokens = np.array([[len(asked.split()), words]], float)
            windows, total, squares = work_of(tokens[:, 0], tokens[:, 1], options, info.max_positions)[0]
            assert windows == cut.windows, (words, asked)
            if options.top_windows is None:  # which of them are the best, their words decide
                assert (total, squares) == (cut.tokens, cut.squares), (words, asked)


def test_rows_are_counted_together():
    rows = work_of(np.array([5.0, 5.0]), np.array([10.0, 1000.0]), Options(max_seq_len=384, doc_stride=128))
    assert rows.tolist()[0] == [1, 18, 18**2]
    assert rows[1].tolist() == [4, 3 * 384 + 8 + 1000 - 3 * 248, 3 * 384**2 + (8 + 1000 - 3 * 248) ** 2]
