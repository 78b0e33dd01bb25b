/**
 * Constants of more bytes than a binding may have: several bindings, each of the same size, and a function that finds the word.
 * Only devices that do not allow one large binding run these texts, so nobody else pays for the choice.
 */
import { invariant } from '@grim/ir';

const BINDING = '@group(0) @binding(0) var<storage, read> constants: array<u32>;';
/** The first binding behind those of every shader. */
const FURTHER = 3;
const READ = 'constants[';

export function readsConstants(code: string): boolean {
  return code.includes(READ);
}

/** The text for constants in `count` bindings of `bytes`: the first where the one was, the others behind all. */
export function inSegments(code: string, count: number, bytes: number): string {
  invariant(code.includes(BINDING), 'a shader has its constants in binding 0');
  const all = Array.from({ length: count }, (_, i) => i);
  const words = bytes / 4;
  const declared = all.map((i) => {
    const binding = i === 0 ? 0 : FURTHER - 1 + i;
    return `@group(0) @binding(${binding}) var<storage, read> constants${i}: array<u32>;`;
  });
  const found = all.map((i) => {
    const which = i < count - 1 ? `case ${i}` : 'default';
    return `    ${which}: { return constants${i}[i - ${i * words}]; }`;
  });
  const constant = ['fn constant(i: i32) -> u32 {', `  switch (i / ${words}) {`, ...found, '  }', '}'];
  return readBy(code.replace(BINDING, [...declared, ...constant].join('\n')));
}

/** Every `constants[i]` as a call. */
function readBy(text: string): string {
  const start = text.indexOf(READ);
  if (start < 0) return text;
  const from = start + READ.length;
  let end = from;
  for (let depth = 1; depth > 0; end++) {
    invariant(end < text.length, 'brackets of a shader are closed');
    depth += text[end] === '[' ? 1 : text[end] === ']' ? -1 : 0;
  }
  return `${text.slice(0, start)}constant(i32(${readBy(text.slice(from, end - 1))}))${readBy(text.slice(end))}`;
}
