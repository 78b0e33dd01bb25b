/** SVG as text: enough for plain pictures, the same bytes each time. White behind, so that they read in dark pages too. */

/** `<name key="value">content</name>`; numbers with two decimals. */
export function tag(name: string, attributes: Readonly<Record<string, string | number>>, content = ''): string {
  const list = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === 'number' ? Number(value.toFixed(2)) : escaped(value)}"`,
  );
  return `<${name}${list.join('')}>${content}</${name}>`;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

export function label(
  x: number,
  y: number,
  text: string,
  more: Readonly<Record<string, string | number>> = {},
): string {
  return tag('text', { x, y, fill: '#1a1a1a', ...more }, escaped(text));
}

export function picture(width: number, height: number, title: string, marks: readonly string[]): string {
  const all = [
    tag('title', {}, escaped(title)),
    tag('rect', { width, height, fill: '#ffffff' }),
    tag('g', { 'font-family': 'system-ui, sans-serif', 'font-size': 13 }, marks.join('\n')),
  ];
  const frame = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${width} ${height}`, width, height, role: 'img' };
  return `${tag('svg', frame, `\n${all.join('\n')}\n`)}\n`;
}
