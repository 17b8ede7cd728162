"""Names found by a model that a person has put on this machine, in place of the built-in engine (docs/inspection.md).

Presidio has recognisers for such models. They are not used: the one for Transformers takes a model that fails for one
that finds nothing, and the one for GLiNER asks the model about less than it was given when a text has no spaces. The
libraries are imported when a model is loaded, and told never to ask the network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gateway.domain.errors import ConfigurationError
from gateway.inspection.recognizers.base import EntityHit, TextRecognizer
from gateway.inspection.windows import windows
from gateway.settings.ner import NerSettings, model_identity

Labelled = tuple[str, int, int, float]
"""Label, start, end, score."""

Predict = Callable[[list[str]], Iterable[Iterable[Labelled]]]
"""What a model sees in each of some texts."""

_SPACY_SCORE = 0.85  # spaCy says no score; this is Presidio's for it
_LEAST = 0.30
"""What a model is less sure of is not reported."""

_SPACY_CHARACTERS = 2_000
_TRANSFORMERS_CHARACTERS = 1_000
_TRANSFORMERS_TOKENS = 512
_GLINER_CHARACTERS = 384


class NerRecognizer(TextRecognizer):
    """A model behind Presidio's interface. Loads it, which takes seconds, and keeps it to one thread.

    Raises `ConfigurationError` when the model cannot be loaded, or is not the one that the settings were made from.
    """

    def __init__(self, settings: NerSettings) -> None:
        self.ENTITIES = tuple(sorted(settings.entities))
        super().__init__()
        self.name = settings.name  # type: ignore[has-type]
        self._entity_of = dict(settings.labels)
        self._predict, self._size = _loaded(settings)

    def found(self, text: str) -> Iterator[EntityHit]:
        """What is where; white space at its ends does not belong to a finding."""
        parts = [part for part in windows(text, self._size) if any(map(str.isalpha, part.text))]
        for part, labelled in zip(parts, self._predict([part.text for part in parts]), strict=True):
            for label, start, end, score in labelled:
                value = part.text[start:end]
                begin = part.start + start + len(value) - len(value.lstrip())
                entity = self._entity_of.get(label)
                if entity and score >= _LEAST and value.strip() and part.first <= begin < part.last:
                    yield entity, begin, begin + len(value.strip()), score


def _loaded(settings: NerSettings) -> tuple[Predict, int]:
    """The model, and how many characters it takes at once."""
    folder = Path(settings.folder)
    if model_identity(folder) != settings.identity:
        raise ConfigurationError(f"the model in {folder} was changed after the settings were read; start anew")
    _silence()
    try:
        return _LOADERS[settings.engine](folder, [label for label, _ in settings.labels])
    except Exception as error:  # the border to the library: whatever it does not like about the files, nothing starts
        first = next(iter(str(error).splitlines()), "")[:300]
        raise ConfigurationError(
            f"the model in {folder} cannot be loaded by {settings.engine}: {type(error).__name__}: {first}"
        ) from error


def _silence() -> None:
    """The libraries log what they like; that nothing is fetched is said when gateway.inspection is imported."""
    for name in ("transformers", "gliner", "spacy", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _spacy(folder: Path, labels: list[str]) -> tuple[Predict, int]:
    import spacy

    pipeline = spacy.load(folder)
    if "entity_ruler" not in pipeline.pipe_names and "span_ruler" not in pipeline.pipe_names:
        # Rules may be about parts of speech and lemmas; the recogniser of entities has no use for them.
        others = (
            "tagger",
            "morphologizer",
            "parser",
            "senter",
            "attribute_ruler",
            "lemmatizer",
            "trainable_lemmatizer",
        )
        pipeline.select_pipes(disable=[name for name in others if name in pipeline.pipe_names])

    def predict(texts: list[str]) -> Iterator[list[Labelled]]:
        for document in pipeline.pipe(texts):
            yield [(entity.label_, entity.start_char, entity.end_char, _SPACY_SCORE) for entity in document.ents]

    return predict, _SPACY_CHARACTERS


def _transformers(folder: Path, labels: list[str]) -> tuple[Predict, int]:
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    _one_thread()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.is_fast:
        raise ConfigurationError("its tokenizer does not say where its tokens are (it has no tokenizer.json)")
    model = AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True)
    positions = getattr(model.config, "max_position_embeddings", None) or _TRANSFORMERS_TOKENS
    tokens = min(tokenizer.model_max_length, positions - 2, _TRANSFORMERS_TOKENS)  # two: RoBERTa counts from two
    tokenizer.model_max_length = tokens
    # With a stride what is too long for the model is read in parts. Without one it would be cut off in silence.
    tagged = pipeline(
        "token-classification",
        model=model,
        tokenizer=tokenizer,
        aggregation_strategy="first",
        stride=tokens // 4,
        device=-1,
    )

    def predict(texts: list[str]) -> Iterator[list[Labelled]]:
        for text in texts:
            yield [_group(found) for found in tagged(text)]

    return predict, _TRANSFORMERS_CHARACTERS


def _group(found: dict[str, Any]) -> Labelled:
    return found["entity_group"], found["start"], found["end"], float(found["score"])


def _gliner(folder: Path, labels: list[str]) -> tuple[Predict, int]:
    from gliner import GLiNER

    _one_thread()
    model = GLiNER.from_pretrained(str(folder), local_files_only=True, map_location="cpu").eval()
    # It counts words and leaves out what is beyond its limit; a word has at least one character.
    characters = min(_GLINER_CHARACTERS, int(model.config.max_len))

    def predict(texts: list[str]) -> Iterator[list[Labelled]]:
        for text in texts:
            found = model.predict_entities(text, labels, threshold=_LEAST)
            yield [(item["label"], item["start"], item["end"], float(item["score"])) for item in found]

    return predict, characters


_LOADERS: dict[str, Callable[[Path, list[str]], tuple[Predict, int]]] = {
    "spacy": _spacy,
    "transformers": _transformers,
    "gliner": _gliner,
}


def _one_thread() -> None:
    """The gateway has its own processes for parallel work; a model on all cores takes them from each other."""
    import torch

    torch.set_num_threads(1)
