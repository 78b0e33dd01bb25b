export const linearOps = {};
