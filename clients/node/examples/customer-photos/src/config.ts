/** What the environment says. */

export interface Config {
  enabled: boolean;
  clipServiceUrl: string;
  clipServiceToken: string;
  databaseUrl: string;
  uploadsFolder: string;
  port: number;
  /** The lowest cosines that still count. */
  textFloor: number;
  imageFloor: number;
}

const NEEDED = ["CLIP_SERVICE_URL", "CLIP_SERVICE_TOKEN", "DATABASE_URL"];

/** The settings. While the feature is off, nothing else has to be set. */
export function configOf(env: NodeJS.ProcessEnv): Config {
  const enabled = env.FEATURE_IMAGE_SEARCH === "true";
  const missing = NEEDED.filter((name) => !env[name]);
  if (enabled && missing.length > 0) {
    throw new Error(`FEATURE_IMAGE_SEARCH=true needs ${missing.join(", ")}.`);
  }
  if (enabled && (env.VECTOR_BACKEND ?? "pgvector") !== "pgvector") {
    throw new Error("VECTOR_BACKEND must be pgvector.");
  }
  return {
    enabled,
    clipServiceUrl: env.CLIP_SERVICE_URL ?? "",
    clipServiceToken: env.CLIP_SERVICE_TOKEN ?? "",
    databaseUrl: env.DATABASE_URL ?? "",
    uploadsFolder: env.UPLOADS_FOLDER ?? "uploads",
    port: numberOf(env, "PORT", 3000),
    textFloor: numberOf(env, "TEXT_SIMILARITY_FLOOR", 0.2),
    imageFloor: numberOf(env, "IMAGE_SIMILARITY_FLOOR", 0.7),
  };
}

function numberOf(env: NodeJS.ProcessEnv, name: string, otherwise: number): number {
  const value = env[name] ? Number(env[name]) : otherwise;
  if (Number.isNaN(value)) {
    throw new Error(`${name} must be a number.`);
  }
  return value;
}
