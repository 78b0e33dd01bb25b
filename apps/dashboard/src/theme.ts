/** Light or dark: as the system says, unless a person says otherwise; remembered where the browser allows it. */
import { type ReadonlySignal, signal } from '@preact/signals';

export type Theme = 'light' | 'dark';

const KEY = 'grim.theme';
const system = matchMedia('(prefers-color-scheme: dark)');
let chosen = read();
const now = signal<Theme>('light');

/** What the page is now. */
export const theme: ReadonlySignal<Theme> = now;

export function startTheme(): void {
  system.addEventListener('change', apply);
  apply();
}

export function toggleTheme(): void {
  chosen = now.peek() === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // Storage may be forbidden or full; the page is as it was asked for all the same.
  }
  apply();
}

function read(): Theme | undefined {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : undefined;
  } catch {
    return undefined;
  }
}

function apply(): void {
  const value = chosen ?? (system.matches ? 'dark' : 'light');
  document.documentElement.dataset['theme'] = value;
  now.value = value;
}
