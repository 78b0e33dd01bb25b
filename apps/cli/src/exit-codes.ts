/** What the command's exit status says; documented in `grim --help`. */
export const EXIT: Readonly<Record<'done' | 'failed' | 'usage' | 'gate' | 'interrupted', number>> = {
  /** The work is done. What it found may still be bad news: `inspect` lists problems and exits 0. */
  done: 0,
  /** A file could not be read or written, a case failed, or GRIM has a bug. */
  failed: 1,
  /** The command line is wrong; nothing was read. */
  usage: 2,
  /** The work is done, and a condition that the caller set does not hold (`inspect --strict`). */
  gate: 3,
  /** Ctrl-C or a signal to end; no half-written file is left. */
  interrupted: 130,
};
