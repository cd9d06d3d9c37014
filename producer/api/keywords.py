"""The keywords of `submit` and `answer`, for editors. Made of `producer.request` by `make generate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict


class AnswerKeywords(TypedDict, total=False):
    """Every option of an answer. One that is left out has its default."""

    #: tokens in a window
    max_seq_len: int
    #: tokens that neighbouring windows share
    doc_stride: int
    #: tokens in a question; a longer one is cut and flagged
    max_question_len: int
    #: tokens in an answer, at most
    max_answer_len: int
    #: answers per row, best first
    top_k: int
    #: best spans of a row that its score is computed over; at least top_k
    n_best: int
    #: no answer if null beats the best span by more than this [default: the model's]
    no_answer_threshold: float | None
    #: score only the N windows of a context whose words match the question best [default: all]
    top_windows: int | None
    #: leave contexts out of the predictions
    omit_context: bool
    #: name of the model that answers [default: BULKQA_MODEL]
    model: str | None
    #: a second submission with the same key returns the first job
    key: str | None
    #: labels of the job; lists can be filtered by them
    metadata: Mapping[str, str] | None
    #: URL of a webhook to call when the job has ended
    notify: str | None
    #: delete the job this long after its end: 30d, 12h [default: never]
    expire: str | None
    #: end the job once more rows than this have failed: 1000, or 5%; not before 200 rows are done
    max_errors: str | None
    #: split the answers by the promise of this earlier job: see `producer trust`
    trust: str | None
    #: share of trusted answers that must be right
    precision: float | None
    #: take the outcomes of equal rows from these earlier jobs: ids, latest, or latest:team=search by label
    reuse: str | Sequence[str] | None
    #: also reuse answers computed by another version of the runtime or kind of processor
    reuse_any: bool | None
    #: score only this many rows, drawn from the whole file; always the same for the same file
    sample: int | None
    #: another seed draws other rows
    sample_seed: int | None


class Keywords(AnswerKeywords, total=False):
    """Every option of a job. One that is left out has its default."""

    #: column of the questions
    question: str
    #: column of the contexts
    context: str
    #: column of the ids; '' for none [default: id, if there is one]
    id: str | None
    #: column of reference answers, for EM and F1; '' for none [default: answers, if there is one]
    answers: str | None
    #: column of groups: rows with the same value are passages for one question, which gets one answer
    group_by: str | None
    #: character between the fields of a CSV file; \t for a tab
    delimiter: str
    #: bytes in a row, with its line end; a larger one is rejected
    max_row_bytes: int
    #: character that escapes a quote, \ in Spark's files [default: a quote is doubled]
    escape: str | None
    #: whether quotes in a CSV file enclose fields (double), or are text (none), as in many files with tabs
    quote: str
    #: without a header line, the columns of a CSV file are named 1, 2, 3 ...
    header: bool
    #: lines to skip above the header of a CSV file, or rows above that of a sheet
    skip_lines: int
    #: encoding of a text file, such as cp1252 or utf-16 [default: UTF-8]
    encoding: str | None
    #: sheet of an Excel workbook, by name or number [default: the first shown]
    sheet: str | None
    #: format of the file [default: by its content]
    format: str | None
    #: column of the texts if documents are the rows of a table; id is then the column of their names
    text: str | None
