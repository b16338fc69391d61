import { literal, type TypeOf } from "./shape.ts";

/** Who a release is for: `dev` its builder alone, `candidate` testers, `stable` everybody. Signed into every statement. */
export const designations = ["dev", "candidate", "stable"] as const;
export const designationShape = literal(...designations);
export type Designation = TypeOf<typeof designationShape>;
