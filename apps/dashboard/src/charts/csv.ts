/** Rows as comma-separated values (RFC 4180), safe to open in a spreadsheet. */

type Cell = string | number | boolean | undefined;
export type Table = readonly Readonly<Record<string, Cell>>[];

/** Columns are the keys of the first row. */
export function csvOf(rows: Table): string {
  const [first] = rows;
  if (!first) return '';
  const keys = Object.keys(first);
  const lines = [keys.map(field), ...rows.map((row) => keys.map((key) => field(row[key])))];
  return `${lines.map((line) => line.join(',')).join('\r\n')}\r\n`;
}

function field(value: Cell): string {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : '';
  const text = String(value ?? '');
  // Names come from files; a spreadsheet would run what begins like a formula.
  const tame = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(tame) ? `"${tame.replaceAll('"', '""')}"` : tame;
}
