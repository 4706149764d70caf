/** Brings the database up to date: runs the migrations that it hasn't had yet, in the order of their names. */

import { readdir, readFile } from "node:fs/promises";
import type pg from "pg";
import { configOf } from "./config.ts";
import { inTransaction, openPool } from "./database.ts";

const FOLDER = new URL("../migrations/", import.meta.url);

export async function migrate(pool: pg.Pool): Promise<void> {
  await inTransaction(pool, async (database) => {
    await database.query("SELECT pg_advisory_xact_lock(hashtext('customer-photos'))"); // one at a time
    await database.query("CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY)");
    for (const name of (await readdir(FOLDER)).sort()) {
      const insert = "INSERT INTO schema_migrations VALUES ($1) ON CONFLICT DO NOTHING";
      const { rowCount } = await database.query(insert, [name]);
      if (rowCount) {
        await database.query(await readFile(new URL(name, FOLDER), "utf8"));
        console.log(name);
      }
    }
  });
}

if (import.meta.main) {
  const pool = openPool(configOf(process.env));
  await migrate(pool);
  await pool.end();
}
