// Does what latency_models/timing_web.py asks, one job after the other: times an ONNX model, or runs it on given images.
// Single-threaded unless told otherwise; the clock is the browser's, 5 µs fine where the page is isolated as the driver serves it.

import * as ort from "./ort.wasm.min.mjs";

const Z = 1.96; // of a 95 % confidence interval
const MIN_SAMPLES = 20;
const SAMPLE_MS = 1; // runs are timed in groups that take at least this long: 200 ticks of the clock

const TYPES = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array };

async function bytes(path) {
  const found = await fetch(path);
  if (!found.ok) throw new Error(`${path}: ${found.status}`);
  return new Uint8Array(await found.arrayBuffer());
}

function random(seed) {
  // Lehmer's generator: the same values on every run
  let state = seed + 1;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

function inputs(session) {
  const feeds = {};
  session.inputMetadata.forEach((input, seed) => {
    const shape = input.shape.map((size) => (typeof size === "number" && size > 0 ? size : 1));
    const count = shape.reduce((product, size) => product * size, 1);
    if (!(input.type in TYPES)) throw new Error(`input ${input.name} is of type ${input.type}`);
    const draw = random(seed);
    const big = input.type === "int64";
    const top = input.type === "float32" ? 1 : 2; // whole numbers: 0 and 1
    const value = () => (input.type === "float32" ? draw() : Math.floor(top * draw()));
    feeds[input.name] = new ort.Tensor(input.type, TYPES[input.type].from({ length: count }, () => (big ? BigInt(value()) : value())), shape);
  });
  return feeds;
}

function quantile(ordered, share) {
  return ordered[Math.max(0, Math.ceil(share * ordered.length) - 1)];
}

const CALM = 1.05; // how much slower than at its best a calm core may be
const numbers = Float64Array.from({ length: 512 }, (_, i) => 1 + i / 1024);
let best = Infinity;

function loop() {
  // What a fixed loop takes now, in ms: more than at its best where something else slows this core down. Eight sums that do not
  // wait for each other keep the core as full as a convolution does: a single chain of additions leaves room for a neighbour.
  let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
  const x = numbers;
  const start = performance.now();
  for (let i = 0; i < 1000; i++) {
    for (let j = 0; j < 512; j += 8) {
      a += x[j] * x[j + 1];
      b += x[j + 1] * x[j + 2];
      c += x[j + 2] * x[j + 3];
      d += x[j + 3] * x[j + 4];
      e += x[j + 4] * x[j + 5];
      f += x[j + 5] * x[j + 6];
      g += x[j + 6] * x[j + 7];
      h += x[j + 7] * x[j];
    }
  }
  const found = performance.now() - start;
  if (!(a + b + c + d + e + f + g + h > 0)) throw new Error("the loop was not run");
  best = Math.min(best, found);
  return found;
}

function relativeWidth(ordered) {
  // half the width of the 95 % confidence interval of the 10th percentile (order statistics), over the median
  const n = ordered.length;
  const spread = Z * Math.sqrt(n * 0.1 * 0.9);
  const low = Math.max(0, Math.floor(n * 0.1 - spread));
  const high = Math.min(n - 1, Math.ceil(n * 0.1 + spread));
  return (ordered[high] - ordered[low]) / 2 / ordered[Math.floor(n / 2)];
}

async function group(session, feeds, runs) {
  const start = performance.now();
  for (let i = 0; i < runs; i++) await session.run(feeds);
  return (performance.now() - start) / runs;
}

async function time(job) {
  const session = await ort.InferenceSession.create(await bytes(job.model), { executionProviders: ["wasm"] });
  try {
    const feeds = inputs(session);
    const begun = performance.now();
    let runs = 1;
    let last = await group(session, feeds, runs);
    while (performance.now() - begun < job.warm_up_ms || runs * last < SAMPLE_MS) {
      runs = Math.max(1, Math.ceil((1.2 * SAMPLE_MS) / Math.max(last, 0.001)));
      last = await group(session, feeds, runs);
    }
    if (best === Infinity) for (let i = 0; i < 500; i++) loop();
    const groups = [];
    let checkAt = MIN_SAMPLES;
    const start = performance.now();
    for (;;) {
      const late = performance.now() - start > job.max_ms;
      const before = loop();
      if (before > CALM * best && !late) continue;
      await session.run(feeds); // the loop took its place in the cache
      const sample = await group(session, feeds, runs);
      groups.push([Math.max(before, loop()), sample]);
      const good = groups.filter(([slowest]) => slowest <= CALM * best);
      if (good.length >= checkAt || (late && groups.length >= 3)) {
        const ordered = (good.length >= 3 ? good : groups).map(([, one]) => one).sort((a, b) => a - b);
        const width = relativeWidth(ordered);
        if (late || width <= job.relative_width) {
          const [low, high] = [quantile(ordered, 0.25), quantile(ordered, 0.75)];
          const middle = (ordered[(ordered.length - 1) >> 1] + ordered[ordered.length >> 1]) / 2;
          return {
            median_ms: middle,
            p10_ms: quantile(ordered, 0.1),
            min_ms: ordered[0],
            p95_ms: quantile(ordered, 0.95),
            runs: runs * ordered.length,
            outliers: ordered.filter((one) => one > high + 3 * (high - low)).length,
            relative_width: width,
            undisturbed: good.length / groups.length,
          };
        }
        checkAt = Math.floor(checkAt * 1.5);
      }
    }
  } finally {
    await session.release();
  }
}

let opened = { model: "", session: null };

async function run(job) {
  if (opened.model !== job.model) {
    opened = { model: "", session: null }; // in case the next line fails
    opened = { model: job.model, session: await ort.InferenceSession.create(await bytes(job.model), { executionProviders: ["wasm"] }) };
  }
  const { session } = opened;
  const images = new ort.Tensor("float32", new Float32Array((await bytes(job.images)).buffer), job.shape);
  const results = await session.run({ [session.inputNames[0]]: images });
  const result = results[session.outputNames[0]];
  return { shape: result.dims, values: Array.from(result.data) };
}

async function work() {
  const base = new URL("./", location.href).href;
  ort.env.wasm.wasmPaths = base;
  ort.env.wasm.numThreads = Number(new URLSearchParams(location.search).get("threads"));
  ort.env.logLevel = "error";
  fetch("alive").catch(() => {}); // stays open as long as this page lives: the driver sees it end
  for (;;) {
    const job = await (await fetch("job")).json();
    if (job === null) return;
    let answer;
    try {
      answer = await { time, run }[job.kind](job);
    } catch (error) {
      answer = { error: String((error && error.message) || error) };
    }
    await fetch("answer", { method: "POST", body: JSON.stringify({ number: job.number, isolated: crossOriginIsolated, ...answer }) });
  }
}

work();
