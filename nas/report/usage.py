"""Programs that run a pick with nothing but its runtime, ready to be copied: Python, and JavaScript for a search for the browser."""

import json

from nas.core.result import RunResult
from nas.report.choice import Headline

_INLINE_CLASSES = 20
"""Beyond that many classes the code reads their names from `pareto.json`."""

_CODE = '''{imports}
MODEL = {model}
SIZE = {size}  # pixels: resize your image to SIZE x SIZE first
MEAN = np.array({mean}, dtype=np.float32)
STD = np.array({std}, dtype=np.float32)
CLASSES = {classes}

{load}


def classify(image: np.ndarray) -> tuple[str, float]:
    """Class and probability for one {colour} image: uint8, (SIZE, SIZE, {channels}), values 0 to 255."""
    pixels = image.reshape(SIZE, SIZE, {channels}).astype(np.float32) / 255
{run}
    odds = np.exp(scores - scores.max())
    best = int(scores.argmax())
    return CLASSES[best], float(odds[best] / odds.sum())


image = np.zeros((SIZE, SIZE, {channels}), dtype=np.uint8)  # put your own image here
print(classify(image))
'''

_ONNX = {
    "import": "import onnxruntime as ort\n",
    "load": 'session = ort.InferenceSession(MODEL, providers=["CPUExecutionProvider"])',
    "run": """    batch = ((pixels - MEAN) / STD).transpose(2, 0, 1)[np.newaxis]  # (1, {channels}, SIZE, SIZE)
    scores = session.run(None, {{session.get_inputs()[0].name: batch}})[0][0]""",
}
_TFLITE = {
    "import": "from ai_edge_litert.interpreter import Interpreter\n",
    "load": """interpreter = Interpreter(model_path=MODEL, num_threads={threads})
interpreter.allocate_tensors()
given, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]""",
    "run": """    interpreter.set_tensor(given, ((pixels - MEAN) / STD)[np.newaxis])  # (1, SIZE, SIZE, {channels}): channels last
    interpreter.invoke()
    scores = interpreter.get_tensor(result)[0]""",
}

_BROWSER = """import * as ort from "onnxruntime-web/wasm"; // npm install onnxruntime-web

const MODEL = {model};
const [SIZE, CHANNELS, BYTES] = [{size}, {channels}, {step}]; // pixels of a side; values and bytes of a pixel
const [MEAN, STD] = [{mean}, {std}];
const CLASSES = {classes};

ort.env.wasm.numThreads = {threads}; // more need a page that is cross-origin isolated
const session = await ort.InferenceSession.create(MODEL, {{ executionProviders: ["wasm"] }});

/** Class and probability for the pixels of one image, as context.getImageData(0, 0, SIZE, SIZE).data of a canvas gives them. */
export async function classify(pixels) {{
  const images = new Float32Array(CHANNELS * SIZE * SIZE);
  for (let i = 0; i < SIZE * SIZE; i++) {{
    const [red, green, blue] = pixels.subarray(BYTES * i, BYTES * i + 3);
    for (let channel = 0; channel < CHANNELS; channel++) {{
      const value = CHANNELS === 1 ? 0.299 * red + 0.587 * green + 0.114 * blue : pixels[BYTES * i + channel];
      images[channel * SIZE * SIZE + i] = (value / 255 - MEAN[channel]) / STD[channel];
    }}
  }}
  const batch = new ort.Tensor("float32", images, [1, CHANNELS, SIZE, SIZE]);
  const found = await session.run({{ [session.inputNames[0]]: batch }});
  const scores = Array.from(found[session.outputNames[0]].data);
  const odds = scores.map((score) => Math.exp(score - Math.max(...scores)));
  const best = scores.indexOf(Math.max(...scores));
  return [CLASSES[best], odds[best] / odds.reduce((sum, one) => sum + one, 0)];
}}

const image = new Uint8ClampedArray(BYTES * SIZE * SIZE); // put your own pixels here
console.log(JSON.stringify(await classify(image)));
"""


def usage_code(result: RunResult, shown: Headline) -> str:
    """A complete program that classifies one image with the recommended version of a pick; run it in the run's folder."""
    eats = result.input_format
    inline = len(eats.classes) <= _INLINE_CLASSES
    runtime = _TFLITE if _is_tflite(shown) else _ONNX
    words = {"channels": eats.channels, "threads": max(1, result.target.threads)}
    imports = f"import numpy as np\n{runtime['import']}" if inline else f"import json\n\nimport numpy as np\n{runtime['import']}"
    return _CODE.format(
        imports=imports,
        model=_literal(shown.step.model),
        size=shown.pick.resolution,
        mean=_rounded(eats.mean),
        std=_rounded(eats.std),
        classes=_listing(eats.classes) if inline else 'json.load(open("pareto.json", encoding="utf-8"))["input"]["classes"]',
        load=runtime["load"].format(**words),
        run=runtime["run"].format(**words),
        channels=eats.channels,
        colour={1: "greyscale", 3: "RGB"}.get(eats.channels, f"{eats.channels}-channel"),
    )


def packages(shown: Headline) -> str:
    """What to install for `usage_code`."""
    return "ai-edge-litert numpy" if _is_tflite(shown) else "onnxruntime numpy"


def browser_code(result: RunResult, shown: Headline) -> str:
    """The same as a JavaScript module for web pages, where the search was for ONNX Runtime Web; else ""."""
    if result.target.runtime != "onnxruntime-web":
        return ""
    eats = result.input_format
    inline = len(eats.classes) <= _INLINE_CLASSES
    return _BROWSER.format(
        model=_literal(shown.step.model),
        size=shown.pick.resolution,
        channels=eats.channels,
        step=max(4, eats.channels),
        mean=_rounded(eats.mean),
        std=_rounded(eats.std),
        classes=_listing(eats.classes) if inline else '(await (await fetch("pareto.json")).json()).input.classes',
        threads=max(1, result.target.threads),
    )


def _is_tflite(shown: Headline) -> bool:
    return shown.step.model.endswith(".tflite")


def _rounded(values: tuple[float, ...]) -> list[float]:
    return [round(value, 6) for value in values]


def _listing(classes: tuple[str, ...]) -> str:
    """A Python list, which is a JavaScript array too, over as many lines as it needs."""
    lines = ["   "]
    for name in classes:
        word = f" {_literal(name)},"
        if len(lines[-1] + word) > 100 and lines[-1].strip():
            lines.append("   ")
        lines[-1] += word
    return "[\n" + "\n".join(lines) + "\n]"


def _literal(text: str) -> str:
    """`text` as a string in double quotes, as Python and JavaScript have it; a JSON string is one."""
    return json.dumps(text, ensure_ascii=False)
