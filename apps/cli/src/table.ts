/**
 * Text in columns that stays within the width of the screen: the flexible column gives way, cut with `…`.
 */

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Cut first when the table is too wide. One column at least. */
  readonly flexible?: boolean;
}

const GAP = 2;
const INDENT = 2;
const NARROWEST = 6;

/** Lines without a newline, the titles first; indented by two. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): string[] {
  const widths = columns.map(({ title }, i) =>
    rows.reduce((w, row) => Math.max(w, textWidth(row[i] ?? '')), textWidth(title)),
  );
  let excess = widths.reduce((a, b) => a + b, 0) + GAP * (columns.length - 1) + INDENT - width;
  columns.forEach(({ flexible }, i) => {
    if (!flexible || excess <= 0) return;
    const given = Math.min(excess, Math.max(0, (widths[i] ?? 0) - NARROWEST));
    widths[i] = (widths[i] ?? 0) - given;
    excess -= given;
  });
  return [columns.map(({ title }) => title), ...rows].map((row) => {
    const cells = row.map((cell, i) => pad(fit(cell, widths[i] ?? 0), widths[i] ?? 0, columns[i]?.align ?? 'left'));
    return `${' '.repeat(INDENT)}${cells.join(' '.repeat(GAP))}`.trimEnd();
  });
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const space = ' '.repeat(Math.max(0, width - textWidth(text)));
  return align === 'left' ? text + space : space + text;
}

/** `text` cut to `width` columns; what is cut shows as `…`. */
export function fit(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let out = '';
  let used = 1;
  for (const character of text) {
    used += characterWidth(character);
    if (used > width) break;
    out += character;
  }
  return `${out}…`;
}

/**
 * Breaks text at spaces into lines of at most `width` columns; the second and later lines get `indent` in front. A word
 * that is longer than a line is cut.
 */
export function wrap(text: string, width: number, indent = ''): string[] {
  const words = text.trimStart().split(' ');
  const lines: string[] = [];
  let line = ' '.repeat(text.length - text.trimStart().length) + (words.shift() ?? '');
  for (const word of words) {
    if (textWidth(line) + 1 + textWidth(word) > width) {
      lines.push(line);
      line = indent + word;
    } else line += ` ${word}`;
  }
  return [...lines, line].map((one) => fit(one, width));
}

/** Columns that a terminal needs. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** 0 for marks that sit on the character before, 2 for the wide East Asian characters and emoji, else 1. */
function characterWidth(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x300) return 1;
  if (/\p{Mn}|\p{Me}/u.test(character)) return 0;
  const wide =
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd);
  return wide ? 2 : 1;
}
