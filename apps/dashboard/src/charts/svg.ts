/** A drawn chart as a file of its own: what the page gave it by its style sheet is written into it. */
import type { Palette } from './figure.tsx';

const SPACE = 'http://www.w3.org/2000/svg';

export function svgText(drawn: SVGElement, title: string, { surface, text }: Palette): string {
  const svg = drawn.cloneNode(true) as SVGElement;
  svg.setAttribute('xmlns', SPACE);
  svg.removeAttribute('aria-hidden');
  svg.setAttribute('role', 'img');
  svg.setAttribute('font-family', 'system-ui, sans-serif');
  svg.setAttribute('color', text);
  const name = document.createElementNS(SPACE, 'title');
  name.textContent = title;
  const back = document.createElementNS(SPACE, 'rect');
  for (const [key, value] of [
    ['width', '100%'],
    ['height', '100%'],
    ['fill', surface],
  ] as const)
    back.setAttribute(key, value);
  svg.prepend(name, back);
  return `${new XMLSerializer().serializeToString(svg)}\n`;
}
