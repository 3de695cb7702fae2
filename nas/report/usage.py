"""Python that runs a pick with nothing but onnxruntime and numpy, ready to be copied."""

import json

from nas.core.result import RunResult
from nas.report.choice import Headline

_INLINE_CLASSES = 20
"""Beyond that many classes the code reads their names from `pareto.json`."""

_CODE = '''import numpy as np
import onnxruntime as ort
{imports}
MODEL = {model}
SIZE = {size}  # pixels: resize your image to SIZE x SIZE first
MEAN = np.array({mean}, dtype=np.float32)
STD = np.array({std}, dtype=np.float32)
CLASSES = {classes}

session = ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])


def classify(image: np.ndarray) -> tuple[str, float]:
    """Class and probability for one {colour} image: uint8, (SIZE, SIZE, {channels}), values 0 to 255."""
    pixels = image.reshape(SIZE, SIZE, {channels}).astype(np.float32) / 255
    batch = ((pixels - MEAN) / STD).transpose(2, 0, 1)[np.newaxis]  # (1, {channels}, SIZE, SIZE)
    scores = session.run(None, {{session.get_inputs()[0].name: batch}})[0][0]
    odds = np.exp(scores - scores.max())
    best = int(scores.argmax())
    return CLASSES[best], float(odds[best] / odds.sum())


image = np.zeros((SIZE, SIZE, {channels}), dtype=np.uint8)  # put your own image here
print(classify(image))
'''


def usage_code(result: RunResult, shown: Headline) -> str:
    """A complete program that classifies one image with the recommended version of a pick; run it in the run's folder."""
    eats = result.input_format
    inline = len(eats.classes) <= _INLINE_CLASSES
    return _CODE.format(
        imports="" if inline else "import json\n",
        model=_literal(shown.step.model),
        size=shown.pick.resolution,
        mean=[round(value, 6) for value in eats.mean],
        std=[round(value, 6) for value in eats.std],
        classes=_listing(eats.classes) if inline else 'json.load(open("pareto.json", encoding="utf-8"))["input"]["classes"]',
        channels=eats.channels,
        colour={1: "greyscale", 3: "RGB"}.get(eats.channels, f"{eats.channels}-channel"),
    )


def _listing(classes: tuple[str, ...]) -> str:
    """A Python list, over as many lines as it needs."""
    lines = ["   "]
    for name in classes:
        word = f" {_literal(name)},"
        if len(lines[-1] + word) > 100 and lines[-1].strip():
            lines.append("   ")
        lines[-1] += word
    return "[\n" + "\n".join(lines) + "\n]"


def _literal(text: str) -> str:
    """`text` as a Python string in double quotes; a JSON string is one."""
    return json.dumps(text, ensure_ascii=False)
