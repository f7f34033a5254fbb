"""Exercises: a prediction about forgetting, and a drawing with a wrong arrow."""

from __future__ import annotations

from tftutor.exercises.exercise import Exercise, Wrong, is_option
from tftutor.exercises.values import read_choice

PREDICT_FORGETTING = Exercise(
    id="recurrent/predict-forgetting",
    title="Predict: what does an LSTM forget?",
    answer="prediction",
    solution="c",
    takes="value",
    read=read_choice,
    properties=(is_option("c", "abcd"),),
    wrong=(
        Wrong(
            name="a: LSTMs do not forget",
            answer="a",
            hint="the cell is multiplied by the forget gate at every step; the product is 1 only when the gate is",
        ),
        Wrong(
            name="b: halved once",
            answer="b",
            hint="the gate acts at each of the ten steps, not once",
        ),
        Wrong(
            name="d: nothing is left",
            answer="d",
            hint="a product of ten factors of one half is small and not zero: which power of two is it?",
        ),
    ),
    notice="0.5 ** 10 is 1/1024. With the gate at 0.98 it would be 0.82: the gate's bias decides.",
)

WRONG_ARROW = Exercise(
    id="recurrent/wrong-arrow",
    title="Which arrow is wrong?",
    answer="arrow",
    solution="b",
    takes="value",
    read=read_choice,
    properties=(is_option("b", "abcd"),),
    wrong=(
        Wrong(
            name="a: letters into the encoder",
            answer="a",
            hint="every letter has to be read by somebody, and this is who reads it",
        ),
        Wrong(
            name="c: the query",
            answer="c",
            hint="attention answers a question, and the question of a decoder is its state: this arrow has to be there",
        ),
        Wrong(
            name="d: the context",
            answer="d",
            hint="what has been read must go where the next phoneme is decided; look at what is read instead",
        ),
    ),
    notice="With one state to choose from, every weight is 1: that drawing shows a network without attention.",
)
