// Which of the two programs a browser can read.

/** A program of one multiply-add of relaxed-simd. */
const RELAXED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0, 65, 1, 253, 15, 65, 1, 253, 15, 65, 1, 253, 15,
  253, 133, 2, 11,
];

/** The file of the program: with multiply-adds in one instruction where the browser has them. */
export const program = () =>
  globalThis.WebAssembly?.validate(Uint8Array.from(RELAXED)) ? 'firefall_web_bg.wasm' : 'firefall_web_plain.wasm';
