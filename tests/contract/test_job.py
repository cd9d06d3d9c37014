"""The records of a job: options are checked, manifests survive JSON, predictions have their fields."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BulkqaError, UsageError
from contract.format import codec
from contract.format.job import (
    ROW_ERRORS,
    Answer,
    InputFile,
    Manifest,
    Options,
    Row,
    RowError,
    Span,
    answered,
    failed,
    read_manifest,
)

SOURCE = InputFile("f.csv", "csv", 10, "s", ("id", "question", "context"), "|")
ROW = Row(3, "who?", "Ada wrote it", id="x", line=5, passthrough={"topic": "t"})
ADA, WROTE = Span("Ada", 0, 3, 0.9, 7.5), Span("wrote", 4, 9, 0.05, 4.0)


# Options


def test_the_defaults_make_sense():
    assert asdict(Options()) == {
        "max_seq_len": 384,
        "doc_stride": 128,
        "max_question_len": 64,
        "max_answer_len": 30,
        "top_k": 1,
        "n_best": 20,
        "no_answer_threshold": None,
        "top_windows": None,
        "omit_context": False,
    }


@pytest.mark.parametrize("name", ["max_seq_len", "doc_stride", "max_question_len", "max_answer_len", "top_k", "n_best"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_length_or_count_is_at_least_one(name: str, value: int):
    with pytest.raises(UsageError, match=f"{name} must be at least 1, not {value}"):
        Options(**{name: value})


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_threshold_is_a_finite_number(value: float):
    with pytest.raises(UsageError, match=f"no_answer_threshold must be a finite number, not {value}"):
        Options(no_answer_threshold=value)
    assert Options(no_answer_threshold=-1000.0).no_answer_threshold == -1000.0


def test_top_k_is_at_most_n_best():
    with pytest.raises(UsageError, match=r"top_k \(21\) cannot exceed n_best \(20\)"):
        Options(top_k=21)
    assert Options(top_k=20).top_k == 20


def test_a_window_has_room_for_question_and_overlap():
    with pytest.raises(UsageError, match="a window of 199 tokens has no room") as caught:
        Options(max_seq_len=199)
    assert "Raise max_seq_len" in (caught.value.remedy or "")
    assert Options(max_seq_len=200).max_seq_len == 200


# Manifests

texts = st.text(max_size=20)
manifests = st.builds(
    Manifest,
    id=st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True),
    created_at=st.floats(0, 1e10),
    model=texts,
    rows=st.integers(0, 10**9),
    rejected=st.integers(0, 10**9),
    chunks=st.integers(0, 10**6),
    index_sha256=texts,
    source=st.builds(InputFile, texts, texts, st.integers(0), texts, st.lists(texts).map(tuple), st.none() | texts),
    options=st.builds(
        Options, top_k=st.integers(1, 20), no_answer_threshold=st.none() | st.floats(-9, 9), omit_context=st.booleans()
    ),
    question_column=texts,
    id_column=st.none() | texts,
    key=st.none() | texts,
    metadata=st.dictionaries(texts, texts),
)


@given(manifests)
def test_a_manifest_survives_json(manifest: Manifest):
    assert read_manifest(json.dumps(codec.values(manifest), allow_nan=False)) == manifest


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_manifest_of_another_version_is_refused(version):
    data = codec.values(Manifest("a", 1.0, "m", 1, 0, 1, "i", SOURCE)) | {"schema_version": version}
    with pytest.raises(BulkqaError, match=f"job 'a' has format version {version}, this program reads 1") as caught:
        read_manifest(json.dumps(data))
    assert "upgrade" in (caught.value.remedy or "")


def test_a_field_of_a_later_version_is_ignored():
    manifest = Manifest("a", 1.0, "m", 1, 0, 1, "i", SOURCE)
    assert read_manifest(json.dumps(codec.values(manifest) | {"new": 1})) == manifest


# Predictions


def test_an_answer_has_its_offsets():
    assert answered(ROW, Answer((ADA,), 1.0, 0.9, ("truncated_question",)), Options()) == {
        "row": 3,
        "id": "x",
        "status": "answered",
        "question": "who?",
        "line": 5,
        "context": "Ada wrote it",
        "answer": "Ada",
        "start": 0,
        "end": 3,
        "score": 0.9,
        "raw_score": 7.5,
        "null_score": 1.0,
        "margin": None,
        "flags": ["truncated_question"],
        "passthrough": {"topic": "t"},
    }


def test_no_answer_is_empty_and_has_no_offsets():
    found = answered(ROW, Answer((), 9.0, 0.97), Options(top_k=3))
    assert (found["status"], found["answer"], found["start"], found["end"]) == ("no_answer", "", None, None)
    assert (found["score"], found["raw_score"], found["null_score"], found["alternatives"]) == (0.97, None, 9.0, [])


def test_alternatives_are_included_if_requested():
    found = answered(ROW, Answer((ADA, WROTE), 1.0, 0.9), Options(top_k=2))
    assert found["alternatives"] == [asdict(WROTE)]
    assert "alternatives" not in answered(ROW, Answer((ADA, WROTE), 1.0, 0.9), Options())


def test_a_failed_row_has_no_answer():
    rejected = Row(3, None, None, line=5, raw="a|b", passthrough={})
    found = failed(rejected, RowError("missing_field", "why"), Options())
    assert (found["status"], found["answer"], found["raw"]) == ("error", None, "a|b")
    assert found["error"] == {"code": "missing_field", "message": "why"}
    assert "start" not in found
    assert "raw" not in failed(ROW, RowError("missing_field", "why"), Options())


def test_the_context_is_left_out_if_requested():
    options = Options(omit_context=True)
    assert "context" not in answered(ROW, Answer((ADA,), 1.0, 0.9), options)
    assert "context" not in failed(ROW, RowError("inference_error", "m"), options)


def test_codes_of_row_errors_are_documented_once():
    assert len(set(ROW_ERRORS)) == len(ROW_ERRORS)
