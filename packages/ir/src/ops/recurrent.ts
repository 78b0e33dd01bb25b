export const recurrentOps = {};
