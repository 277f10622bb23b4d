// Numbers, sizes, times and values as people read them. The same everywhere, whatever the browser's language.

const COUNT = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
/** What is shown for NaN, and for what is infinite. */
export const NO_NUMBER = "no number";

const MOST_WITH_EXPONENT = 4; // digits: there is less room
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 6000 → 6,000 */
export const count = (number) => COUNT.format(number);

/** "1 pulse", "6,000 pulses" */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A pulse id, without separators: it is there to be copied. */
export const pulse = (pulseId) => (pulseId === null || pulseId === undefined ? "–" : String(pulseId));

export function bytes(size) {
  const power = Math.min(UNITS.length - 1, size < 1 ? 0 : Math.floor(Math.log2(size) / 10));
  return `${digits(size / 1024 ** power, 3)} ${UNITS[power]}`;
}

/** 0.25 → "0.25 s", 59.96 → "60 s", 754 → "12 min 34 s" */
export function duration(seconds) {
  if (seconds < 10) return `${digits(seconds, 2)} s`;
  const whole = Math.round(seconds);
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** So many significant digits, but all of whole numbers, and no tail of zeros: with 3, 99.9987 → "100", 1234.5 → "1235". */
export function digits(number, significant) {
  if (Number.isInteger(number) && Math.abs(number) < 1e15) return String(number);
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) {
    return number.toExponential(Math.min(significant, MOST_WITH_EXPONENT) - 1).replace(/\.?0+e/, "e");
  }
  if (size >= 10 ** (significant - 1)) return String(Math.round(number));
  return String(Number(number.toPrecision(significant)));
}

/** Messages or values per second. */
export const rate = (hz) => (hz >= 10 ? hz.toFixed(1) : digits(hz, 2));

/** A share that is not 0 is never shown as 0, and one that is not 100 never as 100. */
export function percent(share) {
  if (share === null) return "–";
  if (share > 0 && share < 0.1) return "<0.1 %";
  if (share < 100 && share > 99.9) return ">99.9 %";
  return `${digits(share, 2)} %`;
}

/** A value of a channel in a few characters, but all digits of an integer; null is one that is too large, damaged or no number. */
export function value(given) {
  if (given === null || given === undefined) return "–";
  if (typeof given === "number") return digits(given, 7);
  if (Array.isArray(given)) return `[${given.slice(0, 8).map(value).join(", ")}${given.length > 8 ? ", …" : ""}]`;
  return String(given);
}

/** The time of the day of a Date. */
export const clock = (date) => date.toTimeString().slice(0, 8);
