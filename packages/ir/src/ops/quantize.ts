export const quantizeOps = {};
