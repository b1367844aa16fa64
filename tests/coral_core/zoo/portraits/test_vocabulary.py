import random

from coral_core.clip import make_tokenizer
from coral_core.zoo.portraits.domain import sample
from coral_core.zoo.portraits.vocabulary import learn_merges
from coral_core.zoo.recipes.language import vocabulary_sentences


def test_every_word_of_every_caption_becomes_one_token() -> None:
    tokenizer = make_tokenizer(learn_merges(vocabulary_sentences()), 80)
    for seed in range(200):
        text = sample(seed).caption(random.Random(seed)).text
        words = text.replace(",", " , ").replace("-", " - ").split()
        assert len(tokenizer.encode(text)) == len(words), text


def test_unknown_words_are_split_into_known_tokens() -> None:
    tokenizer = make_tokenizer(learn_merges(["a cat", "a cart"]), 16)
    assert tokenizer.decode(tokenizer.encode("a tractor")).strip() == "a tractor"


def test_the_same_sentences_give_the_same_merges_in_any_order() -> None:
    sentences = vocabulary_sentences(200)
    assert learn_merges(sentences) == learn_merges(sentences[::-1])


def test_the_number_of_merges_is_bounded() -> None:
    assert len(learn_merges(["some words that merge"], most=3)) == 3
