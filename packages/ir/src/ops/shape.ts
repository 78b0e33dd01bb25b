export const shapeOps = {};
