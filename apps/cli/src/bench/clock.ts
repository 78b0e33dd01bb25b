/**
 * Two clocks. On a busy machine a long computation loses its core to others for a while, a short one does not: by the wall
 * clock the short one looks better than it is. The time that this process had on a core leaves such waits out.
 */

/** Milliseconds, of which only differences matter. */
export type Clock = () => number;

export const wallClock: Clock = () => performance.now();

/**
 * Of all threads of the process; microseconds are its steps, and reading it takes about one: not for short times. The time
 * of one thread alone would be better, and is told by Linux in steps of a few milliseconds.
 */
export const processClock: Clock = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
