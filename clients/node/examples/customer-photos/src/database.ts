/** The pool of connections, transactions, and which space is searched in. */

import pg from "pg";
import type { Config } from "./config.ts";

/** A pool; it connects when it is first asked. */
export function openPool(config: Config): pg.Pool {
  const pool = new pg.Pool({ connectionString: config.databaseUrl });
  // Of a connection that breaks while nobody uses it; the next query gets a new one.
  pool.on("error", (error) => console.error(`PostgreSQL: ${error.message}`));
  return pool;
}

/** What `work` does, all of it or nothing. */
export async function inTransaction<Result>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // The connection may break while `work` waits for something else; its next query says so.
  const ignore = (): void => {};
  client.on("error", ignore);
  try {
    await client.query("BEGIN");
    const result = await work(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    await client.query("ROLLBACK").catch((failure: Error) => (broken = failure));
    throw error;
  } finally {
    client.off("error", ignore);
    client.release(broken);
  }
}

/** The space of the stored vectors; undefined as long as there are none. */
export async function storedSpace(database: pg.Pool | pg.PoolClient): Promise<string | undefined> {
  const { rows } = await database.query("SELECT space FROM image_embedding_space");
  return rows[0]?.space;
}
