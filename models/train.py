"""Train an extractive reader: SQuAD-format files and a base encoder in, a checkpoint for `worker build` out.

    python models/train.py TEACHER_BASE TEACHER --train a.json b.json --eval dev.json --epochs 4 --lr 5e-5
    python models/train.py BASE OUT --train a.json b.json --eval dev.json --teacher TEACHER

BASE is a Hugging Face id or folder of an encoder. Windows are made by `worker.reader.encode`, so training and inference
see the same; `worker.evaluate` measures EM and F1 every epoch. A question without an answer in its window points at CLS
(Devlin et al. 2018, for SQuAD 2.0). Every epoch draws anew which of the reference answers to learn, which questions get
another question's context, and which contexts are cut short.

With a teacher the student learns its logits (Hinton et al. 2015) and its layers, through a linear map each (TinyBERT,
Jiao et al. 2020). In half of the windows some tokens are masked for both, so that the student sees more than the data.
Both tokenizers must split texts alike: other rows are left out. Needs the extra [build]. The evaluation file must not
share contexts with the training files: that is checked.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, get_linear_schedule_with_warmup

from contract.errors import BulkqaError, UsageError
from contract.format.job import Answer, Options
from worker.build.checkpoint import template_of
from worker.evaluate import evaluate, load_squad
from worker.reader.decode import RowFailure, Scored, Window, decode
from worker.reader.encode import Encoder
from worker.reader.model import TOKENIZER, ModelInfo

HARD = 0.3  #: the weight of the reference answers, beside the teacher's logits
TEMPERATURE = 2.0  #: of both logits in their comparison
MASKED = 0.15  #: the share of tokens that are masked in a masked window
NEAR = 60  #: within how many questions another context is drawn, mostly
SHORTEST = 30  #: words that are left of a context, at least


@dataclass(frozen=True, slots=True)
class Question:
    """A question to learn, with the places of its reference answers: none if the context has no answer."""

    question: str
    context: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A window, the token positions in it that the start and end logits should point at, and the teacher's window."""

    window: Window
    start: int
    end: int
    taught: Window | None = None


class TorchReader:
    """A checkpoint in torch that answers with the windows and the decoding of a worker."""

    def __init__(self, model: Any, encoder: Encoder, info: ModelInfo, mask: int | None = None) -> None:
        """`mask`: the id of the mask token."""
        self.model, self.encoder, self.info, self.mask = model, encoder, info, mask

    def answer(self, question: str, context: str, options: Options) -> Answer:
        encoded = self.encoder.encode(question, context, options)
        scored = [Scored(window, *self._logits(window)) for window in encoded.windows]
        trained = self.info.null_trained
        return decode(context, encoded.offsets, scored, options, flags=encoded.flags, null_trained=trained)

    def _logits(self, window: Window) -> tuple[Any, Any]:
        with torch.no_grad():
            out = self.model(**batch_of([window], self.info, self.model.device))
        return out.start_logits[0].float().cpu().numpy(), out.end_logits[0].float().cpu().numpy()

    def places(self, window: Window) -> NDArray[np.int64]:
        """Positions of CLS and of the tokens of question and context, which readers that split texts alike share."""
        template = self.info.template
        question = np.arange(len(template.prefix), window.first - len(template.middle))
        return np.concatenate([[0], question, np.arange(window.first, window.first + window.end - window.begin)])


class Teacher:
    """A trained reader, and the maps from the student's layers to its own, which are trained too."""

    def __init__(self, reader: TorchReader, student: TorchReader) -> None:
        self.reader, self.student = reader, student
        mine, own = student.model.config, reader.model.config
        self.step = own.num_hidden_layers // mine.num_hidden_layers
        self.maps = torch.nn.ModuleList(
            torch.nn.Linear(mine.hidden_size, own.hidden_size) for _ in range(mine.num_hidden_layers)
        ).to(student.model.device)

    def loss(self, batch: Sequence[Target], hits: Sequence[NDArray[np.bool_]], out: Any) -> Any:
        """The distance of the student's output on a batch from the teacher's. `hits`: the masked places."""
        reader, device = self.reader, self.reader.model.device
        windows = [target.taught for target in batch if target.taught]
        with torch.no_grad():
            inputs = masked(batch_of(windows, reader.info, device), reader, windows, hits)
            soft = reader.model(**inputs, output_hidden_states=True)
        theirs, keep = _padded([reader.places(window) for window in windows], device)
        mine, _ = _padded([self.student.places(target.window) for target in batch], device)
        loss = torch.zeros((), device=device)
        for name in ("start_logits", "end_logits"):
            ours, taught = (
                functional.log_softmax(logits.float().gather(1, at).masked_fill(~keep, -1e4) / TEMPERATURE, dim=1)
                for logits, at in ((out[name], mine), (soft[name], theirs))
            )
            loss = loss + functional.kl_div(ours, taught, log_target=True, reduction="batchmean") * TEMPERATURE**2 / 2
        return (1 - HARD) * loss + self._layers(out.hidden_states, soft.hidden_states, mine, theirs, keep)

    def _layers(self, out: Any, soft: Any, mine: Any, theirs: Any, keep: Any) -> Any:
        """Mean squared error of the mapped layers. The teacher's are normalized: else a few channels would dominate."""
        loss = torch.zeros((), device=keep.device)
        for number, layer in enumerate(self.maps, 1):
            ours = layer(_rows(out[number], mine).float())
            taught = _rows(soft[number * self.step], theirs).float()
            error = (ours - functional.layer_norm(taught, taught.shape[-1:])) ** 2
            loss = loss + error.mean(-1)[keep].mean() / len(self.maps)
        return loss


def _rows(values: Any, places: Any) -> Any:
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[-1]))


def _padded(places: Sequence[NDArray[np.int64]], device: Any) -> tuple[Any, Any]:
    """Positions of several windows as one array, padded with zeros, and the mask of those that are not padding."""
    width = max(map(len, places))
    padded = np.stack([np.pad(each, (0, width - len(each))) for each in places])
    keep = np.arange(width) < np.array([[len(each)] for each in places])
    return torch.from_numpy(padded).to(device), torch.from_numpy(keep).to(device)


def read_questions(path: Path) -> list[Question]:
    """All questions of a SQuAD-format file, with the places of their answers. Raises UsageError for another format."""
    try:
        articles = json.loads(path.read_text("utf-8"))["data"]
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        return [
            Question(qa["question"], paragraph["context"], tuple(map(span_of, qa["answers"])))
            for paragraph in paragraphs
            for qa in paragraph["qas"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not in SQuAD's format: {error}") from error


def span_of(answer: dict[str, Any]) -> tuple[int, int]:
    return answer["answer_start"], answer["answer_start"] + len(answer["text"])


def varied(questions: Sequence[Question], arguments: Any, draw: random.Random) -> Iterator[Question]:
    """An epoch's questions: one reference answer each, some with another context, some contexts cut short."""
    for number, question in enumerate(questions):
        spans = tuple(draw.sample(question.spans, 1)) if question.spans else ()
        context = question.context
        if draw.random() < arguments.mispaired:
            # Mostly a neighbour, from the same article: unanswerable, but on the same subject.
            far = draw.randint(-NEAR, NEAR) if draw.random() < 0.7 else draw.randrange(len(questions))
            other = questions[(number + far) % len(questions)].context
            spans, context = (spans, context) if other == context else ((), other)
        varied_ = Question(question.question, context, spans)
        yield cropped(varied_, draw) if draw.random() < arguments.cropped else varied_


def cropped(question: Question, draw: random.Random) -> Question:
    """The question with a part of its context, at least some words around its middle: the answer may be cut off."""
    words = [0, *(n + 1 for n, char in enumerate(question.context) if char == " "), len(question.context) + 1]
    if len(words) <= 2 * SHORTEST:
        return question
    first = draw.randrange(len(words) // 2) if draw.random() < 0.7 else 0
    last = draw.randrange(max(first + SHORTEST, len(words) // 2), len(words))
    begin, end = words[first], words[last] - 1
    spans = tuple((a - begin, b - begin) for a, b in question.spans if begin <= a and b <= end)
    return Question(question.question, question.context[begin:end], spans)


def targets(
    question: Question, reader: TorchReader, options: Options, teacher: TorchReader | None = None
) -> Iterator[Target]:
    """The windows of a question with their targets. None for a row that a tokenizer cannot read, or that the tokenizers
    of reader and teacher split differently."""
    try:
        encoded = reader.encoder.encode(question.question, question.context, options)
        taught: Sequence[Window | None] = [None] * len(encoded.windows)
        if teacher:
            room = options.max_seq_len + teacher.info.template.size - reader.info.template.size
            other = teacher.encoder.encode(question.question, question.context, replace(options, max_seq_len=room))
            taught = other.windows
            pairs = zip(encoded.windows, other.windows, strict=False)
            if not np.array_equal(encoded.offsets, other.offsets) or any(
                len(reader.places(mine)) != len(teacher.places(theirs)) for mine, theirs in pairs
            ):
                return
    except RowFailure:
        return
    first = last = -1
    if question.spans:
        begin, end = question.spans[0]
        first = int(np.searchsorted(encoded.offsets[:, 1], begin, side="right"))
        last = int(np.searchsorted(encoded.offsets[:, 0], end, side="left")) - 1
    for window, theirs in zip(encoded.windows, taught, strict=True):
        inside = question.spans and window.begin <= first <= last < window.end
        shift = window.first - window.begin
        yield Target(window, *((first + shift, last + shift) if inside else (0, 0)), theirs)


def batches(targets_: Sequence[Target], tokens: int, draw: random.Random) -> list[list[Target]]:
    """Batches of windows of similar length, at most `tokens` tokens with padding, in random order."""
    order = sorted(targets_, key=lambda target: (len(target.window.input_ids), draw.random()))
    grouped: list[list[Target]] = [[]]
    for target in order:
        if grouped[-1] and (len(grouped[-1]) + 1) * len(target.window.input_ids) > tokens:
            grouped.append([])
        grouped[-1].append(target)
    draw.shuffle(grouped)
    return grouped


def batch_of(windows: Sequence[Window], info: ModelInfo, device: Any) -> dict[str, Any]:
    """The model's inputs for some windows, padded to the longest and masked."""
    width = max(len(window.input_ids) for window in windows)
    inputs = {name: np.zeros((len(windows), width), np.int64) for name in info.inputs}
    for row, window in enumerate(windows):
        size = len(window.input_ids)
        inputs["input_ids"][row, :size] = window.input_ids
        inputs["attention_mask"][row, :size] = 1
        if "token_type_ids" in inputs:
            inputs["token_type_ids"][row, :size] = info.template.question_type
            inputs["token_type_ids"][row, window.first : size] = info.template.context_type
    return {name: torch.from_numpy(values).to(device) for name, values in inputs.items()}


def drawn(batch: Sequence[Target], reader: TorchReader, share: float, draw: random.Random) -> list[NDArray[np.bool_]]:
    """The places to mask, by window: some in a `share` of the windows, none in the others. Never CLS."""
    chance = np.random.default_rng(draw.getrandbits(64))
    sizes = [len(reader.places(target.window)) for target in batch]
    hits = [(chance.random(size) < MASKED) & (draw.random() < share) for size in sizes]
    for each in hits:
        each[0] = False
    return hits


def masked(
    inputs: dict[str, Any], reader: TorchReader, windows: Sequence[Window], hits: Sequence[NDArray[np.bool_]]
) -> dict[str, Any]:
    """The inputs with these places of each window masked."""
    for row, (window, hit) in enumerate(zip(windows, hits, strict=True)):
        if hit.any():
            inputs["input_ids"][row, reader.places(window)[hit]] = reader.mask
    return inputs


@dataclass(slots=True)
class Run:
    """A training run."""

    reader: TorchReader
    teacher: Teacher | None
    optimizer: Any
    schedule: Any
    arguments: Any
    draw: random.Random


def train_epoch(run: Run, targets_: Sequence[Target]) -> None:
    model, device = run.reader.model.train(), run.reader.model.device
    batches_ = batches(targets_, run.arguments.tokens, run.draw)
    mean = 0.0
    for number, batch in enumerate(batches_, 1):
        windows = [target.window for target in batch]
        hits = drawn(batch, run.reader, run.arguments.masked if run.teacher else 0, run.draw)
        inputs = masked(batch_of(windows, run.reader.info, device), run.reader, windows, hits)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=run.arguments.bf16):
            out = model(**inputs, output_hidden_states=run.teacher is not None)
            loss = reference_loss(out, batch, hits)
            if run.teacher:
                loss = HARD * loss + run.teacher.loss(batch, hits, out)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in run.optimizer.param_groups for p in g["params"]], 1.0)
        run.optimizer.step()
        run.schedule.step()
        run.optimizer.zero_grad()
        mean += (loss.item() - mean) / number
        if number % 50 == 0 or number == len(batches_):
            print(f"  batch {number} of {len(batches_)}, loss {mean:.3f}", file=sys.stderr, flush=True)
    model.eval()


def reference_loss(out: Any, batch: Sequence[Target], hits: Sequence[NDArray[np.bool_]]) -> Any:
    """Cross-entropy against the reference answers, over the windows without masked tokens."""
    device = out.start_logits.device
    plain = torch.tensor([not hit.any() for hit in hits], dtype=torch.float32, device=device)
    loss = torch.zeros_like(plain)
    for logits, side in ((out.start_logits, "start"), (out.end_logits, "end")):
        positions = torch.tensor([getattr(target, side) for target in batch], device=device)
        loss = loss + functional.cross_entropy(logits.float(), positions, reduction="none") / 2
    return (loss * plain).sum() / plain.sum().clamp(min=1)


def opened(base: str) -> tuple[TorchReader, Any]:
    """A reader from a Hugging Face id or folder, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    model = AutoModelForQuestionAnswering.from_pretrained(base, dtype=torch.float32, trust_remote_code=False)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
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
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.backend_tokenizer.save(str(Path(folder) / TOKENIZER))
        return TorchReader(
            model.eval(), Encoder(Path(folder) / TOKENIZER, info), info, tokenizer.mask_token_id
        ), tokenizer


def gather(arguments: Any) -> list[Question]:
    """All questions to train on. Raises UsageError if the evaluation file has one of their contexts."""
    questions = [question for path in arguments.train for question in read_questions(path)]
    if arguments.eval:
        measured = {" ".join(example.context.split()) for example in load_squad(arguments.eval)}
        if any(" ".join(question.context.split()) in measured for question in questions):
            raise UsageError(f"contexts of {arguments.eval} are in the training files", "Leave those files out.")
    return questions


def taught_by(reader: TorchReader, folder: str | None) -> Teacher | None:
    """The teacher, if one is given. Raises UsageError if it cannot teach this reader."""
    if folder is None:
        return None
    teacher, _ = opened(folder)
    layers = [each.model.config.num_hidden_layers for each in (teacher, reader)]
    if layers[0] % layers[1] or None in (teacher.mask, reader.mask):
        raise UsageError(
            f"{folder} cannot teach this reader",
            f"It has {layers[0]} layers, which must be a multiple of {layers[1]}; both tokenizers need a mask token.",
        )
    return Teacher(teacher, reader)


def prepared(run: Run, questions: Sequence[Question]) -> list[Target]:
    """An epoch's windows. Raises UsageError if there are none."""
    options = Options(max_seq_len=run.arguments.max_seq_len, doc_stride=run.arguments.doc_stride)
    teacher = run.teacher.reader if run.teacher else None
    epoch = varied(questions, run.arguments, run.draw)
    windows = [target for question in epoch for target in targets(question, run.reader, options, teacher)]
    if not windows:
        raise UsageError("there is nothing to learn", "The tokenizers of teacher and reader must split texts alike.")
    return windows


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, train, measure and save the last epoch or, with an evaluation file, the best one by F1."""
    arguments = parse(argv)
    torch.manual_seed(arguments.seed)
    questions = gather(arguments)
    reader, tokenizer = opened(arguments.base)
    model, teacher = reader.model, taught_by(reader, arguments.teacher)
    learned = [*model.parameters(), *(teacher.maps.parameters() if teacher else ())]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in learned if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=arguments.lr, betas=(0.9, 0.98), eps=1e-6)
    run = Run(reader, teacher, optimizer, None, arguments, random.Random(arguments.seed))
    windows = prepared(run, questions)
    steps = arguments.epochs * len(batches(windows, arguments.tokens, run.draw))
    run.schedule = get_linear_schedule_with_warmup(optimizer, steps // 16, steps)
    best = -1.0
    for epoch in range(1, arguments.epochs + 1):
        print(f"epoch {epoch} of {arguments.epochs}: {len(windows)} windows", file=sys.stderr)
        train_epoch(run, windows)
        quality = evaluate(reader, load_squad(arguments.eval), Options()) if arguments.eval else {}
        print(json.dumps({"epoch": epoch, **quality}), flush=True)
        last = epoch == arguments.epochs
        if quality["f1"] > best if quality else last:
            best = quality.get("f1", best)
            model.save_pretrained(arguments.out)
            tokenizer.save_pretrained(arguments.out)
        windows = windows if last else prepared(run, questions)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("base", help="Hugging Face id or folder of an encoder")
    parser.add_argument("out", type=Path, help="folder for the checkpoint")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="SQuAD-format files")
    parser.add_argument("--eval", type=Path, help="SQuAD-format file to measure on after every epoch")
    parser.add_argument("--teacher", help="id or folder of a trained reader to learn from")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--tokens", type=int, default=24_576, help="tokens in a batch, padding included")
    parser.add_argument("--max-seq-len", type=int, default=384)
    parser.add_argument("--doc-stride", type=int, default=128)
    parser.add_argument("--mispaired", type=float, default=0.1, help="share of questions given another context")
    parser.add_argument("--cropped", type=float, default=0.15, help="share of contexts cut short")
    parser.add_argument("--masked", type=float, default=0.5, help="share of windows with masked tokens, with a teacher")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main()
    except BulkqaError as error:
        print(f"train: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
