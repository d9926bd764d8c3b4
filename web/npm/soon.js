// An answer in time: some graphics drivers never give one.

/** A graphics driver that has not said for so many milliseconds which device it has counts as none. */
export const ADAPTER_WAIT = 15_000;

/** What is answered within `wait` milliseconds; after that, an error that says so. */
export function soon(answer, wait) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not answer for ${wait / 1000} seconds`)), wait);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
