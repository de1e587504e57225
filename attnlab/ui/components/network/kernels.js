// @ts-check
// What the steps of a network's file do: each kernel makes a function that reads and writes one memory of float32.
//
// Addresses are indices of numbers, found when the file was made; so are all sizes. The file `explain/in_browser/lowering.py` says what
// becomes which step.

/**
 * @typedef {Record<string, any> & { do: string, o: number, i: number[] }} Step do: which kernel, o: where it writes, i: what it reads
 * @typedef {object} Memory
 * @property {Float32Array} f all numbers
 * @property {Int32Array} places the same memory as whole numbers
 * @property {number} scratch where a convolution lays its windows side by side
 * @property {(a: number, b: number, c: number, m: number, n: number, k: number, bias: number, relu: boolean) => void} matmul
 */
/** @typedef {(memory: Memory, step: Step) => () => void} Kernel */

// ---- numbers one by one ----------------------------------------------------------------------------------------------

const LOWEST = -87; // smaller powers are 0 in float32
const POWERS = Float64Array.from({ length: 256 }, (_, at) => 2 ** (at - 127));

/** e to the power of x, to float32: several times faster than Math.exp, and most of what attention takes. @param {number} x */
function exp(x) {
  if (!(x > LOWEST && x < -LOWEST)) return x < 0 ? 0 : Math.exp(x);
  const whole = Math.floor(x * Math.LOG2E + 0.5);
  const r = x - whole * Math.LN2;
  return POWERS[whole + 127] * (1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r / 5040)))))));
}

/** The error function, to 1.2e-7 (the rational Chebyshev approximation of Numerical Recipes). @param {number} x */
function erf(x) {
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const high = t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)));
  const power = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807 + high)))));
  const tail = t * exp(power - x * x);
  return x >= 0 ? 1 - tail : tail - 1;
}

const sigmoid = (/** @type {number} */ x) => 1 / (1 + exp(-x));
const sixth = (/** @type {number} */ x) => Math.min(Math.max(x + 3, 0), 6) / 6;

/** @type {Record<string, (x: number, p: number, q: number) => number>} */
const UNARY = {
  relu: (x) => (x > 0 ? x : 0),
  sigmoid,
  tanh: Math.tanh,
  silu: (x) => x * sigmoid(x),
  hardsigmoid: sixth,
  hardswish: (x) => x * sixth(x),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
  erf,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  neg: (x) => -x,
  exp: Math.exp,
  log: Math.log,
  log1p: Math.log1p,
  abs: Math.abs,
  reciprocal: (x) => 1 / x,
  pow: (x, p) => (p === 2 ? x * x : x ** p),
  clamp: (x, p, q) => Math.min(Math.max(x, p), q),
};

/** @type {Kernel} */
function unary({ f }, { o, i: [x], n, fn, p = 0, q = 0 }) {
  const one = UNARY[fn];
  return () => {
    for (let at = 0; at < n; at++) f[o + at] = one(f[x + at], p, q);
  };
}

/** A loop along the last side: o, a and b are where it begins, s and t the steps of a and b. @typedef {(f: Float32Array, o: number, a: number, b: number, n: number, s: number, t: number, alpha: number) => void} Loop */

/** @type {Record<string, Loop>} */
const BINARY = {
  add: (f, o, a, b, n, s, t, alpha) => {
    for (let at = 0; at < n; at++) f[o + at] = f[a + at * s] + alpha * f[b + at * t];
  },
  sub: (f, o, a, b, n, s, t, alpha) => {
    for (let at = 0; at < n; at++) f[o + at] = f[a + at * s] - alpha * f[b + at * t];
  },
  mul: (f, o, a, b, n, s, t) => {
    for (let at = 0; at < n; at++) f[o + at] = f[a + at * s] * f[b + at * t];
  },
  div: (f, o, a, b, n, s, t) => {
    for (let at = 0; at < n; at++) f[o + at] = f[a + at * s] / f[b + at * t];
  },
  gt: (f, o, a, b, n, s, t) => {
    for (let at = 0; at < n; at++) f[o + at] = f[a + at * s] > f[b + at * t] ? 1 : 0;
  },
  ge: (f, o, a, b, n, s, t) => {
    for (let at = 0; at < n; at++) f[o + at] = f[a + at * s] >= f[b + at * t] ? 1 : 0;
  },
  lt: (f, o, a, b, n, s, t) => BINARY.gt(f, o, b, a, n, t, s, 1),
  le: (f, o, a, b, n, s, t) => BINARY.ge(f, o, b, a, n, t, s, 1),
  max: (f, o, a, b, n, s, t) => {
    for (let at = 0; at < n; at++) f[o + at] = Math.max(f[a + at * s], f[b + at * t]);
  },
  min: (f, o, a, b, n, s, t) => {
    for (let at = 0; at < n; at++) f[o + at] = Math.min(f[a + at * s], f[b + at * t]);
  },
};

/**
 * Where each run along the last side begins.
 * @param {number[]} dims
 * @param {number[]} strides
 */
function begins(dims, strides) {
  let places = [0];
  for (let side = 0; side < dims.length - 1; side++) {
    places = places.flatMap((place) => Array.from({ length: dims[side] }, (_, at) => place + at * strides[side]));
  }
  return Int32Array.from(places);
}

/** @type {Kernel} */
function binary({ f }, { o, i: [x, y], fn, dims, a, b, alpha }) {
  const loop = BINARY[fn];
  const [lefts, rights, n] = [begins(dims, a), begins(dims, b), dims.at(-1)];
  const [s, t] = [a.at(-1), b.at(-1)];
  return () => {
    for (let run = 0; run < lefts.length; run++) loop(f, o + run * n, x + lefts[run], y + rights[run], n, s, t, alpha);
  };
}

/** @type {Kernel} */
function where({ f }, { o, i: [x, y, z], dims, a, b, c }) {
  const [asked, yes, no, n] = [begins(dims, a), begins(dims, b), begins(dims, c), dims.at(-1)];
  const [s, t, u] = [a.at(-1), b.at(-1), c.at(-1)];
  return () => {
    for (let run = 0, to = o; run < asked.length; run++) {
      for (let at = 0; at < n; at++) f[to++] = f[x + asked[run] + at * s] ? f[y + yes[run] + at * t] : f[z + no[run] + at * u];
    }
  };
}

// ---- numbers in other places -----------------------------------------------------------------------------------------

/** @type {Kernel} */
function copy({ f }, { o, i: [x], dims, from, to }) {
  const [sources, targets, n] = [begins(dims, from), begins(dims, to), dims.at(-1)];
  const [s, t] = [from.at(-1), to.at(-1)];
  return () => {
    for (let run = 0; run < sources.length; run++) {
      const [source, target] = [x + sources[run], o + targets[run]];
      if (s === 1 && t === 1 && n > 16) f.copyWithin(target, source, source + n);
      else for (let at = 0; at < n; at++) f[target + at * t] = f[source + at * s];
    }
  };
}

/** @type {Kernel} */
function gather({ f, places }, { o, i: [x], places: list, n, fill }) {
  return () => {
    for (let at = 0; at < n; at++) {
      const place = places[list + at];
      f[o + at] = place < 0 ? fill : f[x + place];
    }
  };
}

/** @type {Kernel} */
function scatter({ f, places }, { o, i: [base, x], places: list, n, size, add }) {
  return () => {
    f.copyWithin(o, base, base + size);
    for (let at = 0; at < n; at++) {
      const place = o + places[list + at];
      f[place] = add ? f[place] + f[x + at] : f[x + at];
    }
  };
}

// ---- sums ------------------------------------------------------------------------------------------------------------

/**
 * The numbers that belong together: n of them, `inner` apart; calls with where the first lies and where the result goes.
 * @param {{ outer: number, n: number, inner: number }} sizes
 * @param {(first: number, at: number) => void} each
 */
function everyRow({ outer, n, inner }, each) {
  for (let row = 0; row < outer; row++) for (let at = 0; at < inner; at++) each(row * n * inner + at, row * inner + at);
}

/** @type {Record<string, (f: Float32Array, x: number, n: number, step: number, less: number) => number>} */
const REDUCTIONS = {
  sum: (f, x, n, step) => {
    let total = 0;
    for (let at = 0; at < n; at++) total += f[x + at * step];
    return total;
  },
  mean: (f, x, n, step, less) => REDUCTIONS.sum(f, x, n, step, less) / n,
  amax: (f, x, n, step) => {
    let most = -Infinity;
    for (let at = 0; at < n; at++) most = Math.max(most, f[x + at * step]);
    return most;
  },
  amin: (f, x, n, step) => {
    let least = Infinity;
    for (let at = 0; at < n; at++) least = Math.min(least, f[x + at * step]);
    return least;
  },
  var: (f, x, n, step, less) => {
    const mean = REDUCTIONS.mean(f, x, n, step, less);
    let total = 0;
    for (let at = 0; at < n; at++) total += (f[x + at * step] - mean) ** 2;
    return total / (n - less);
  },
};

/** @type {Kernel} */
function reduce({ f }, { o, i: [x], fn, outer, n, inner, less }) {
  const one = REDUCTIONS[fn];
  return () => everyRow({ outer, n, inner }, (first, at) => void (f[o + at] = one(f, x + first, n, inner, less)));
}

/** @type {Kernel} */
function softmax({ f }, { o, i: [x], outer, n, inner }) {
  const one = (/** @type {number} */ first) => {
    let [most, total] = [-Infinity, 0];
    const end = first + n * inner;
    for (let at = first; at < end; at += inner) most = f[x + at] > most ? f[x + at] : most;
    for (let at = first; at < end; at += inner) total += f[o + at] = exp(f[x + at] - most);
    for (let at = first, factor = 1 / total; at < end; at += inner) f[o + at] *= factor;
  };
  return () => everyRow({ outer, n, inner }, one);
}

/** @type {Kernel} */
function normalise({ f }, { o, i: [x], rows, n, epsilon }) {
  return () => {
    for (let row = 0; row < rows * n; row += n) {
      const mean = REDUCTIONS.mean(f, x + row, n, 1, 0);
      const factor = 1 / Math.sqrt(REDUCTIONS.var(f, x + row, n, 1, 0) + epsilon);
      for (let at = row; at < row + n; at++) f[o + at] = (f[x + at] - mean) * factor;
    }
  };
}

/** @type {Kernel} */
function scale({ f }, { o, i: [x, factor, shift], count, inner, n }) {
  return () => {
    for (let first = 0, row = 0; first < n; first += inner, row = (row + 1) % count) {
      const [a, b] = [f[factor + row], f[shift + row]];
      for (let at = first; at < first + inner; at++) f[o + at] = f[x + at] * a + b;
    }
  };
}

// ---- products --------------------------------------------------------------------------------------------------------

/**
 * c = a b in plain loops: where there is no WebAssembly, and for narrow results.
 * @param {Float32Array} f
 * @returns {Memory["matmul"]}
 */
export function plainMatmul(f) {
  return (a, b, c, m, n, k, bias, relu) => {
    for (let row = 0; row < m; row++) {
      const [own, out] = [a + row * k, c + row * n];
      for (let column = 0; column < n; column++) {
        let total = bias ? f[bias + row] : 0;
        for (let at = 0, other = b + column; at < k; at++, other += n) total += f[own + at] * f[other];
        f[out + column] = relu && total < 0 ? 0 : total;
      }
    }
  };
}

/** @type {Kernel} */
function matmul({ matmul: multiply }, { o, i: [a, b], batch, m, n, k, same }) {
  return () => {
    for (let at = 0; at < batch; at++) multiply(a + (same ? 0 : at * m * k), b + at * k * n, o + at * m * n, m, n, k, 0, false);
  };
}

/** @type {Kernel} */
function conv(memory, { o, i: [x, weight, bias = 0], batch, groups, relu = false, ...sizes }) {
  const { f, scratch, matmul: multiply } = memory;
  const [channels, height, width] = sizes.input;
  const [outChannels, tall, wide] = sizes.output;
  const [ky, kx] = sizes.kernel;
  const [sy, sx] = sizes.stride;
  const [py, px] = sizes.padding;
  const [dy, dx] = sizes.dilation;
  const [inside, made, area] = [channels / groups, outChannels / groups, tall * wide];
  const k = inside * ky * kx;
  const direct = ky * kx * sy * sx === 1 && !py && !px;
  // the columns in which all rows of a kernel's column lie inside the picture
  const reach = (/** @type {number} */ shift) => [Math.max(0, Math.ceil(-shift / sx)), Math.min(wide, Math.floor((width - 1 - shift) / sx) + 1)];

  /** Each pixel of each window in a row of its own. @param {number} from */
  const windows = (from) => {
    let to = scratch;
    for (let plane = from; plane < from + inside * height * width; plane += height * width) {
      for (let y = 0; y < ky; y++) {
        for (let column = 0; column < kx; column++) {
          const shift = column * dx - px;
          const [first, last] = reach(shift);
          for (let row = 0; row < tall; row++, to += wide) {
            const down = row * sy + y * dy - py;
            if (down < 0 || down >= height || first >= last) {
              for (let at = 0; at < wide; at++) f[to + at] = 0;
              continue;
            }
            const line = plane + down * width + shift;
            for (let at = 0; at < first; at++) f[to + at] = 0;
            for (let at = first; at < last; at++) f[to + at] = f[line + at * sx];
            for (let at = last; at < wide; at++) f[to + at] = 0;
          }
        }
      }
    }
  };

  /** One plane by itself, as depthwise convolutions do. @param {number} from @param {number} to @param {number} own @param {number} start */
  const alone = (from, to, own, start) => {
    f.fill(start, to, to + area);
    for (let y = 0; y < ky; y++) {
      for (let column = 0; column < kx; column++) {
        const factor = f[own + y * kx + column];
        const shift = column * dx - px;
        const [first, last] = reach(shift);
        for (let row = 0; row < tall; row++) {
          const down = row * sy + y * dy - py;
          if (down < 0 || down >= height) continue;
          const line = from + down * width + shift;
          for (let at = first; at < last; at++) f[to + row * wide + at] += factor * f[line + at * sx];
        }
      }
    }
    if (relu) for (let at = to; at < to + area; at++) if (f[at] < 0) f[at] = 0;
  };

  return () => {
    for (let image = 0; image < batch; image++) {
      for (let group = 0; group < groups; group++) {
        const from = x + (image * channels + group * inside) * height * width;
        const to = o + (image * outChannels + group * made) * area;
        const own = weight + group * made * k;
        if (inside === 1 && made === 1) {
          alone(from, to, own, bias ? f[bias + group] : 0);
          continue;
        }
        if (!direct) windows(from);
        multiply(own, direct ? from : scratch, to, made, area, k, bias && bias + group * made, relu);
      }
    }
  };
}

/** @type {Kernel} */
function pool({ f }, { o, i: [x], fn, planes, outside, ...sizes }) {
  const [height, width] = sizes.input;
  const [tall, wide] = sizes.output;
  const [ky, kx] = sizes.kernel;
  const [sy, sx] = sizes.stride;
  const [py, px] = sizes.padding;
  const [dy, dx] = sizes.dilation;
  const most = fn === "max";
  return () => {
    let to = o;
    for (let plane = x; plane < x + planes * height * width; plane += height * width) {
      for (let row = 0; row < tall; row++) {
        for (let column = 0; column < wide; column++) {
          let [total, count] = [most ? -Infinity : 0, 0];
          for (let y = 0, down = row * sy - py; y < ky; y++, down += dy) {
            if (down < 0 || down >= height) continue;
            for (let at = 0, right = column * sx - px; at < kx; at++, right += dx) {
              if (right < 0 || right >= width) continue;
              const value = f[plane + down * width + right];
              if (most) total = value > total ? value : total;
              else total += value;
              count++;
            }
          }
          f[to++] = most ? total : total / (outside ? ky * kx : count);
        }
      }
    }
  };
}

/** @type {Record<string, Kernel>} */
export const KERNELS = { unary, binary, where, copy, gather, scatter, reduce, softmax, normalise, scale, matmul, conv, pool };
