/** Files that the page writes: named after what they hold, with nothing in the name that a file system could take amiss. */

const LENGTH = 80;

/** Letters, digits, `-` and `_` alone, cut; never empty, never hidden. */
export function safeName(name: string): string {
  const plain = name.replace(/[^\p{L}\p{N}_-]/gu, '-').slice(0, LENGTH);
  const trimmed = plain.replace(/^-*/, '');
  // Windows gives these names to devices.
  return trimmed === '' || /^(con|prn|aux|nul|com\d|lpt\d)$/i.test(trimmed) ? `grim-${trimmed}` : trimmed;
}

export function download(name: string, extension: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = `${safeName(name)}.${extension}`;
  link.click();
  // Some browsers read the URL only after the click was handled.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
