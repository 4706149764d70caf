/** Where uploaded photos lie. */

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { randomUUID } from "node:crypto";

/** What the app needs of a storage; a bucket has the same. */
export interface Storage {
  write(key: string, photo: Uint8Array): Promise<void>;
  /** The photo; undefined if there is none. */
  read(key: string): Promise<Uint8Array | undefined>;
}

/** Photos in a folder. */
export class FolderStorage implements Storage {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = resolve(folder);
  }

  async write(key: string, photo: Uint8Array): Promise<void> {
    const path = this.#pathOf(key);
    await mkdir(dirname(path), { recursive: true });
    // Under its name it is complete or not there.
    const unfinished = `${path}.${randomUUID()}`;
    await writeFile(unfinished, photo);
    await rename(unfinished, path);
  }

  async read(key: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.#pathOf(key));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        return undefined;
      }
      throw error;
    }
  }

  #pathOf(key: string): string {
    const path = resolve(this.#folder, key);
    if (!path.startsWith(this.#folder + sep)) {
      throw new Error("The key leads out of the storage.");
    }
    return path;
  }
}
