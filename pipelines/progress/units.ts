const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** "0 B", "1.5 KiB", "312 MiB": three digits, binary units. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}

/** Bytes of "0", "500MiB", "10 GiB"; undefined for anything else. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,12})(?: ?(B|KiB|MiB|GiB|TiB))?$/.exec(text);
  if (match === null) return undefined;
  const [, digits = "0", unit = "B"] = match;
  return Number(digits) * 1024 ** BYTE_UNITS.indexOf(unit);
}

/** "45 ms", "3.2 s", "1 min 05 s", "2 h 03 min". */
export function duration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${pad(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
}

const pad = (value: number): string => String(value).padStart(2, "0");
