export const signalOps = {};
