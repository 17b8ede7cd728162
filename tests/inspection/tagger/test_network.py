"""The network in numpy."""

from __future__ import annotations

import threading

import numpy as np

from gateway.inspection.tagger.features import TOKEN
from gateway.inspection.tagger.model import load
from gateway.inspection.tagger.network import BLOCK, KEPT_WORDS, Network

MODEL = load()
TEXT = "Dear Anna Kowalski, the parcel goes to 12 High Street, Leeds LS1 4DY. Regards, Bob\n"


def test_a_text_of_many_blocks_has_the_scores_of_one() -> None:
    """Cutting a long text into blocks changes no score by more than rounding."""
    pieces = TOKEN.findall(TEXT * (3 * BLOCK // len(TOKEN.findall(TEXT))))
    whole = MODEL.network._block(pieces)
    assert np.allclose(MODEL.network.scores(pieces), whole, atol=1e-3)


def test_reach() -> None:
    """A score depends on the tokens within reach and on nothing further away."""
    reach = MODEL.network.reach
    pieces = TOKEN.findall(TEXT * 5)
    middle = len(pieces) // 2
    near = MODEL.network.scores(pieces[middle - reach : middle + reach + 1])[reach]
    assert np.allclose(near, MODEL.network.scores(pieces)[middle], atol=1e-3)


def test_words_forgotten_do_not_change_scores() -> None:
    """More different words than are kept: the scores stay what they were."""
    network = Network(MODEL.network.weights, MODEL.network.lexicon)
    before = network.scores(TOKEN.findall(TEXT))
    for start in range(0, KEPT_WORDS + 3000, 1000):
        network.scores([f" w{number}" for number in range(start, start + 1000)])
    assert np.array_equal(network.scores(TOKEN.findall(TEXT)), before)


def test_threads() -> None:
    """Several threads may use one network, also while words are forgotten."""
    network = Network(MODEL.network.weights, MODEL.network.lexicon)
    texts = [TOKEN.findall(TEXT.replace("Kowalski", f"Kowalsk{i}")) for i in range(8)]
    expected = [MODEL.network.scores(pieces) for pieces in texts]
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(15):
            network.scores([f" {number}x{turn}x{i}" for i in range(150)])
            if not np.allclose(network.scores(texts[number]), expected[number], atol=1e-3):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
