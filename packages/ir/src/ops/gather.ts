export const gatherOps = {};
