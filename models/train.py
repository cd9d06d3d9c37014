"""Train an extractive reader: SQuAD-format files and a base encoder in, a checkpoint for `worker build` out.

    python models/train.py BASE OUT --train a.json b.json --eval dev.json

BASE is a Hugging Face id or folder of an encoder (the reader that ships began as all-MiniLM-L6-v2). Windows are made by
`worker.reader.encode`, so that training sees what inference sees; EM and F1 are measured by `worker.evaluate`
every epoch.
A question whose answer is outside its window, or that has none, points at CLS (Devlin et al. 2018, for SQuAD 2.0).
Needs the extra [build]. Files to be measured on must not be among those trained on: their contexts are compared.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, get_linear_schedule_with_warmup

from contract.errors import BulkqaError, UsageError
from contract.format.job import Answer, Options
from worker.build.checkpoint import template_of
from worker.evaluate import evaluate, load_squad
from worker.reader.decode import RowFailure, Scored, Window, decode
from worker.reader.encode import Encoder
from worker.reader.model import TOKENIZER, ModelInfo


@dataclass(frozen=True, slots=True)
class Question:
    """A question to learn: where its first reference answer lies, None if the context has none."""

    question: str
    context: str
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Target:
    """A window and the token positions in it that the start and end logits should point at."""

    window: Window
    start: int
    end: int


class TorchReader:
    """A checkpoint under training, answering by the same windows and decoding as a worker."""

    def __init__(self, model: Any, encoder: Encoder, info: ModelInfo) -> None:
        self.model, self.encoder, self.info = model, encoder, info

    def answer(self, question: str, context: str, options: Options) -> Answer:
        encoded = self.encoder.encode(question, context, options)
        scored = [Scored(window, *self._logits(window)) for window in encoded.windows]
        return decode(context, encoded.offsets, scored, options, flags=encoded.flags)

    def _logits(self, window: Window) -> tuple[Any, Any]:
        with torch.no_grad():
            out = self.model(**batch_of([window], self.info, self.model.device))
        return out.start_logits[0].float().cpu().numpy(), out.end_logits[0].float().cpu().numpy()


def read_questions(path: Path) -> list[Question]:
    """All questions of a SQuAD-format file. Raises UsageError if it is none."""
    try:
        articles = json.loads(path.read_text("utf-8"))["data"]
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        return [
            Question(asked["question"], paragraph["context"], span_of(asked["answers"]))
            for paragraph in paragraphs
            for asked in paragraph["qas"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not in SQuAD's format: {error}") from error


def span_of(answers: list[dict[str, Any]]) -> tuple[int, int] | None:
    if not answers:
        return None
    first = answers[0]
    return first["answer_start"], first["answer_start"] + len(first["text"])


def mispaired(questions: Sequence[Question], count: int, seed: int) -> list[Question]:
    """Questions beside a context that is not theirs: unanswerable, as far as one can tell without reading."""
    draw = random.Random(seed)
    pairs = ((draw.choice(questions), draw.choice(questions)) for _ in range(2 * count))
    return [Question(one.question, two.context, None) for one, two in pairs if one.context != two.context][:count]


def targets(question: Question, encoder: Encoder, options: Options) -> Iterator[Target]:
    """The windows of a question with what they should say. None for a row that the tokenizer cannot read."""
    try:
        encoded = encoder.encode(question.question, question.context, options)
    except RowFailure:
        return
    first = last = -1
    if question.span:
        begin, end = question.span
        first = int(np.searchsorted(encoded.offsets[:, 1], begin, side="right"))
        last = int(np.searchsorted(encoded.offsets[:, 0], end, side="left")) - 1
    for window in encoded.windows:
        if question.span and window.begin <= first <= last < window.end:
            shift = window.first - window.begin
            yield Target(window, first + shift, last + shift)
        else:
            yield Target(window, 0, 0)


def batches(found: Sequence[Target], tokens: int, draw: random.Random) -> list[list[Target]]:
    """Windows of like length together, at most `tokens` tokens a batch with its padding, in random order."""
    order = sorted(found, key=lambda target: (len(target.window.input_ids), draw.random()))
    made: list[list[Target]] = [[]]
    for target in order:
        if made[-1] and (len(made[-1]) + 1) * len(target.window.input_ids) > tokens:
            made.append([])
        made[-1].append(target)
    draw.shuffle(made)
    return made


def batch_of(windows: Sequence[Window], info: ModelInfo, device: Any) -> dict[str, Any]:
    """The model's inputs for some windows, padded to the longest and masked."""
    width = max(len(window.input_ids) for window in windows)
    given = {name: np.zeros((len(windows), width), np.int64) for name in info.inputs}
    for row, window in enumerate(windows):
        size = len(window.input_ids)
        given["input_ids"][row, :size] = window.input_ids
        given["attention_mask"][row, :size] = 1
        if "token_type_ids" in given:
            given["token_type_ids"][row, :size] = info.template.question_type
            given["token_type_ids"][row, window.first : size] = info.template.context_type
    return {name: torch.from_numpy(values).to(device) for name, values in given.items()}


def train_epoch(
    reader: TorchReader, found: Sequence[Target], optimizer: Any, schedule: Any, arguments: Any, draw: random.Random
) -> None:
    model, device = reader.model.train(), reader.model.device
    made = batches(found, arguments.tokens, draw)
    mean = 0.0
    for number, batch in enumerate(made, 1):
        given = batch_of([target.window for target in batch], reader.info, device)
        starts = torch.tensor([target.start for target in batch], device=device)
        ends = torch.tensor([target.end for target in batch], device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=arguments.bf16):
            out = model(**given)
        loss = torch.nn.functional.cross_entropy(out.start_logits.float(), starts)
        loss = (loss + torch.nn.functional.cross_entropy(out.end_logits.float(), ends)) / 2
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        mean += (loss.item() - mean) / number
        if number % 50 == 0 or number == len(made):
            print(f"  batch {number} of {len(made)}, loss {mean:.3f}", file=sys.stderr, flush=True)
    model.eval()


def load(base: str) -> tuple[Any, Any, ModelInfo]:
    """Model, tokenizer and what `worker.reader.encode` has to know of them."""
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    model = AutoModelForQuestionAnswering.from_pretrained(base, dtype=torch.float32, trust_remote_code=False)
    typed = getattr(model.config, "type_vocab_size", 0) > 1 and "token_type_ids" in tokenizer.model_input_names
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    info = ModelInfo(
        name="training",
        digest="",
        precision="fp32",
        architecture=type(model).__name__,
        inputs=("input_ids", "attention_mask", "token_type_ids") if typed else ("input_ids", "attention_mask"),
        max_positions=min(tokenizer.model_max_length, model.config.max_position_embeddings),
        vocab_size=model.config.vocab_size,
        template=template_of(tokenizer.backend_tokenizer),
        null_trained=True,
    )
    return model, tokenizer, info


def gather(arguments: Any, encoder: Encoder) -> list[Target]:
    """All windows to train on. Raises UsageError if a context to be measured on is among them."""
    questions = [question for path in arguments.train for question in read_questions(path)]
    if arguments.eval:
        measured = {" ".join(example.context.split()) for example in load_squad(arguments.eval)}
        if any(" ".join(question.context.split()) in measured for question in questions):
            raise UsageError(f"contexts of {arguments.eval} are among those to train on", "Leave their files out.")
    questions += mispaired(questions, arguments.mispaired, arguments.seed)
    options = Options(max_seq_len=arguments.max_seq_len, doc_stride=arguments.doc_stride)
    return [target for question in questions for target in targets(question, encoder, options)]


def main(given: Sequence[str] | None = None) -> None:
    """Parse, train, measure and save: the best epoch by F1 where there is an evaluation file, else the last."""
    arguments = parse(given)
    torch.manual_seed(arguments.seed)
    draw = random.Random(arguments.seed)
    model, tokenizer, info = load(arguments.base)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    if arguments.freeze_embeddings:
        model.get_input_embeddings().weight.requires_grad_(False)  # noqa: FBT003 - torch's own signature
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.backend_tokenizer.save(str(Path(folder) / TOKENIZER))
        reader = TorchReader(model, Encoder(Path(folder) / TOKENIZER, info), info)
    found = gather(arguments, reader.encoder)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=arguments.lr)
    steps = arguments.epochs * len(batches(found, arguments.tokens, draw))
    schedule = get_linear_schedule_with_warmup(optimizer, steps // 20, steps)
    best = -1.0
    for epoch in range(arguments.epochs):
        print(f"epoch {epoch + 1} of {arguments.epochs}: {len(found)} windows", file=sys.stderr)
        train_epoch(reader, found, optimizer, schedule, arguments, draw)
        quality = evaluate(reader, load_squad(arguments.eval), Options()) if arguments.eval else {}
        print(json.dumps({"epoch": epoch + 1, **quality}), flush=True)
        last = epoch + 1 == arguments.epochs
        if quality["f1"] > best if quality else last:
            best = quality.get("f1", best)
            model.save_pretrained(arguments.out)
            tokenizer.save_pretrained(arguments.out)


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("base", help="Hugging Face id or folder of an encoder")
    parser.add_argument("out", type=Path, help="folder for the checkpoint")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="SQuAD-format files")
    parser.add_argument("--eval", type=Path, help="SQuAD-format file to measure on after every epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--tokens", type=int, default=3000, help="tokens in a batch, padding included")
    parser.add_argument("--max-seq-len", type=int, default=320)
    parser.add_argument("--doc-stride", type=int, default=96)
    parser.add_argument("--mispaired", type=int, default=1500, help="unanswerable pairs to add")
    parser.add_argument("--freeze-embeddings", action="store_true", help="leave the word embeddings as they are")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


if __name__ == "__main__":
    try:
        main()
    except BulkqaError as error:
        print(f"train: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
